#pragma once

#include <cstddef>
#include <cstdint>

namespace dmcore::limits {

/// Every bound of dmcore. A full pool makes the next part wait; it never fails it.
inline constexpr std::size_t dm_ios_per_lane = 4096;        // Parts in flight [O-12].
inline constexpr std::size_t extra_clones_per_lane = 4096;  // Beyond the one inside each DmIo.
inline constexpr std::size_t pool_slab = 64;                // Objects allocated at a time.

/// Part of a write_zeroes that is turned into a write, and the memory it is written from.
inline constexpr std::size_t zero_block_bytes = 64 << 10;
inline constexpr std::size_t zero_blocks = 16;

static_assert(dm_ios_per_lane >= 1 && extra_clones_per_lane >= 1);

}  // namespace dmcore::limits
