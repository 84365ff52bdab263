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

/// Of one row of dust: each costs a node of a tree.
inline constexpr std::size_t bad_blocks_max = 1'048'576;

/// Of the log of one log-writes row: copies of what was written and is not on the log yet.
inline constexpr std::uint64_t log_writes_bytes_max = 1ULL << 30;

/// Of dm's statistics regions (dm-semantics 4.5): areas and bins of one as in the kernel,
/// memory of all regions of a device.
inline constexpr std::uint64_t stats_areas_max = 8'388'608;
inline constexpr std::uint64_t stats_bins_max = 134'217'728;
inline constexpr std::uint64_t stats_bytes_max = 256ULL << 20;

static_assert(dm_ios_per_lane >= 1 && extra_clones_per_lane >= 1);

}  // namespace dmcore::limits
