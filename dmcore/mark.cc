#include "dmcore/mark.h"

namespace dmcore {

std::string_view name_of(Mark which) noexcept {
    static constexpr std::array<std::string_view, mark_count> names{
        "bio_starves",         "fan_out_starves",       "dead_in_fan_out",
        "dead_while_kept",     "dead_while_parked",     "dead_between_stages",
        "part_requeued",       "part_of_part_requeued", "batch_requeued",
        "requeue_meets_error", "requeue_refused",       "lost_flush_kept_failed",
        "retry_spent",         "retry_waits",           "taken_back_at_once",
        "taken_back_later",    "waits_behind_hold",     "hold_wakes_other_lane",
        "record_copied",       "lingering_flushed",     "suspend_undone",
    };
    return names[static_cast<std::size_t>(which)];
}

}  // namespace dmcore
