#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "dmcore/loan.h"

namespace server::nbd {

/// Zeroes are told rather than sent from so many on: at least a page, and so many that no reply
/// falls into more than a few dozen chunks.
constexpr std::size_t hole_bytes_min(std::size_t read_bytes) noexcept {
    return std::max<std::size_t>(4096, read_bytes / 16);
}

inline bool is_zero(const std::byte* data, std::size_t bytes) noexcept {
    static constexpr std::byte zeroes[16] = {};
    if (std::memcmp(data, zeroes, std::min(bytes, sizeof zeroes)) != 0) return false;
    return bytes <= sizeof zeroes ||
           std::memcmp(data, data + sizeof zeroes, bytes - sizeof zeroes) == 0;
}

/// The front of something that was read.
struct Run {
    std::size_t bytes = 0;
    bool zero = false;
};

/// How far what was read to `place` is one hole of at least `hole_bytes`, or has none. `bytes` > 0.
inline Run first_run(const dmcore::Loans& loans, std::byte* place, std::size_t bytes,
                     std::size_t hole_bytes) noexcept {
    constexpr std::size_t page_bytes = 4096;
    std::size_t data = 0;    // Sent in any case...
    std::size_t zeroes = 0;  // ...and what follows, up to here.
    bool found = false;
    loans.for_each_piece(place, bytes, [&](const std::byte* piece, std::size_t left) {
        while (left > 0 && !found) {
            const std::size_t count = std::min(left, page_bytes);
            const bool zero = is_zero(piece, count);
            if (zero) {
                zeroes += count;
                found = data > 0 && zeroes >= hole_bytes;
            } else if (data == 0 && zeroes >= hole_bytes) {
                found = true;
            } else {
                data += zeroes + count;
                zeroes = 0;
            }
            piece += count;
            left -= count;
        }
        return !found;
    });
    if (data == 0) return {zeroes, true};
    return {found ? data : data + zeroes, false};
}

}  // namespace server::nbd
