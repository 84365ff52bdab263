#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dmcore {

/// The rare branches of a lane. A simulation reports those that none of its runs has reached, so
/// that a test which has stopped testing something is noticed.
enum class Mark : std::uint8_t {
    bio_starves,             // No DmIo is free [O-12]...
    fan_out_starves,         // ...no clone.
    dead_in_fan_out,         // Its connection died between two clones of a flush [O-2]...
    dead_while_kept,         // ...while a target held it...
    dead_while_parked,       // ...while it waited...
    dead_between_stages,     // ...between the stages of a requeue.
    part_requeued,           // Stage one...
    part_of_part_requeued,   // ...of a part of a part...
    batch_requeued,          // ...of several parts at once.
    requeue_meets_error,     // Two clones of one part disagree.
    requeue_refused,
    lost_flush_kept_failed,  // A retry was not asked for, because a flush was lost [O-3].
    retry_spent,
    retry_waits,         // A second attempt waits for its time.
    taken_back_at_once,  // A suspending device above took a bio that was about to wait...
    taken_back_later,    // ...or one that waited.
    waits_behind_hold,   // [O-1]
    hold_wakes_other_lane,
    record_copied,      // Two parts shared what they carry, and one went its own way.
    lingering_flushed,  // A flush reached a store that no table has any more [O-4].
    suspend_undone,     // With I/O still in flight.
    count
};
inline constexpr std::size_t mark_count = static_cast<std::size_t>(Mark::count);

/// Set by any thread, never cleared.
inline std::array<std::atomic<bool>, mark_count> marks_reached{};

inline void mark(Mark which) noexcept {
    marks_reached[static_cast<std::size_t>(which)].store(true, std::memory_order_relaxed);
}

/// As the enumerator is spelled.
std::string_view name_of(Mark which) noexcept;

}  // namespace dmcore
