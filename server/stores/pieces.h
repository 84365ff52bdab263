#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>

#include "dmcore/bio.h"

namespace server {

/// The memory of one or several bios, as the kernel takes it.
struct Pieces {
    static constexpr std::size_t most = 64;

    std::array<iovec, most> all;
    int count = 0;
    std::uint64_t bytes = 0;

    void clear() noexcept {
        count = 0;
        bytes = 0;
    }
    /// As much as there is room for of what is left of a bio.
    void add(const dmcore::BioIter& iter, const dmcore::Segment* segments) {
        dmcore::for_each_piece(iter, segments, [&](std::byte* data, std::size_t length) {
            if (count == static_cast<int>(most)) return;
            all[static_cast<std::size_t>(count++)] = {data, length};
            bytes += length;
        });
    }

    /// Does all of it begin and end at multiples of `bytes_of_block`?
    bool aligned(std::size_t bytes_of_block) const noexcept {
        for (int i = 0; i < count; ++i) {
            const iovec& piece = all[static_cast<std::size_t>(i)];
            const auto at = reinterpret_cast<std::uintptr_t>(piece.iov_base);
            if (at % bytes_of_block != 0 || piece.iov_len % bytes_of_block != 0) return false;
        }
        return true;
    }
};

}  // namespace server
