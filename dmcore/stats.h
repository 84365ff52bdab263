#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dmcore/bio.h"
#include "dmcore/clock.h"
#include "dmcore/faults.h"

namespace dmcore {

/// What one kind of I/O has done. A part is counted once, at its final completion [D-3], [A-6].
struct OpStats {
    std::uint64_t ios = 0;
    std::uint64_t sectors = 0;
    Time time{};  // Sum over the parts, from creation to end.
};

/// Counters of one lane, or of a device: the sum over its lanes.
struct DeviceStats {
    struct Below {
        std::string name;
        std::uint64_t issued = 0;            // Parts submitted there...
        std::uint64_t reissued = 0;          // ...of which reads and writes issued before...
        std::uint64_t reissued_fan_out = 0;  // ...and flushes, discards and zeroes.
    };

    std::array<OpStats, op_count> ops;
    std::uint64_t reads_in_flight = 0;    // Parts that targets have let go and that have not
    std::uint64_t writes_in_flight = 0;   // ended; all but reads are here.
    Time busy{};                          // With any in flight; of several lanes the longest.
    std::uint64_t pending = 0;            // Parts now at work, those that a target keeps included.
    std::uint64_t splits = 0;             // Extra parts made from one request.
    std::uint64_t stage_one = 0;          // Trips of split parts through the requeue list.
    std::uint64_t stage_two = 0;          // Parts put back to be run again.
    std::uint64_t retried = 0;            // Parts issued again.
    std::uint64_t retries_exhausted = 0;  // Parts whose policy was spent.
    std::uint64_t deferred = 0;           // Now waiting for the gate...
    std::uint64_t waiting_retry = 0;      // ...for their next attempt...
    std::uint64_t waiting_overlap = 0;    // ...behind an earlier overlapping part [O-1].
    std::uint64_t parked_bytes = 0;       // Of all three.
    FaultCounts faults;                   // Under the live table and those before it.
    std::vector<Below> below;

    std::uint64_t in_flight() const noexcept { return reads_in_flight + writes_in_flight; }
    void add(const DeviceStats& other);
};

/// The 17 columns of /sys/block/DEVICE/stat in the kernel's widths, without a newline. Merges and
/// the flush columns are always 0, as of every device of dm (dm-semantics 4.2).
std::string sysfs_stat(const DeviceStats& stats);

}  // namespace dmcore
