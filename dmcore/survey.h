#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dmcore/bio.h"

// Questions about a stack that are no I/O of its clients: where a range lies, and what is stored
// there. They go past gates, targets' faults and statistics, and never wait for a suspend.
namespace dmcore {

class BlockDevice;

/// Where the front of a range lies. BlockDevice::locate() leads it down, table by table.
struct Place {
    std::uint64_t sector = 0;       // Of the device that was asked, afterwards of `device`.
    std::uint64_t sectors = 0;      // That lie there side by side: what is asked for, or fewer.
    BlockDevice* device = nullptr;  // The store; null: none serves it.
    std::shared_ptr<void> keep;     // Keeps it open.
    std::size_t row = 0;            // Of the device that was asked first.
    bool zero = false;              // Without a store: it reads as zeroes.
    bool failing = false;  // A target fails, drops or spoils I/O here, for now or for ever.
};

/// Asks a store which parts of a range hold data. Goes straight to a store, as a bio of its own.
/// A survey that fails, or finds nothing, says nothing: then all may be data.
struct Survey : Bio {
    static constexpr std::size_t extents_max = 64;

    struct Extent {
        std::uint64_t sectors = 0;
        bool hole = false;  // No space is allocated for it.
        bool zero = false;  // It reads as zeroes.
    };

    /// To be asked for a range of a store, or used again.
    void ask(std::uint64_t sector, std::uint64_t sectors) noexcept {
        static_cast<Bio&>(*this) = Bio{};
        op = Op::survey;
        iter = {.sector = sector, .bytes = sectors * sector_bytes};
        count = 0;
    }
    /// What follows the extents there are. False: there is no room for more; the answer may stop
    /// short of the range.
    bool add(Extent extent) noexcept {
        Extent* const last = count == 0 ? nullptr : &extents[count - 1];
        if (last != nullptr && last->hole == extent.hole && last->zero == extent.zero) {
            last->sectors += extent.sectors;
            return true;
        }
        if (count == extents_max) return false;
        extents[count++] = extent;
        return true;
    }

    std::array<Extent, extents_max> extents;  // One after another, from the front of the range.
    std::size_t count = 0;
};

}  // namespace dmcore
