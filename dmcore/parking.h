#pragma once

#include <cstdint>
#include <map>

#include "dmcore/agenda.h"
#include "dmcore/bio.h"
#include "dmcore/clock.h"
#include "dmcore/hold.h"
#include "dmcore/pool.h"

namespace dmcore {

class Lane;
struct DeviceShared;

/// The bios of one lane that wait: for the gate (the deferred list), for their next attempt, behind
/// an earlier overlapping part, or for a DmIo. They hold no DmIo and no thread, and never delay a
/// suspend: one that a suspending device above would take back is given to it instead of waiting.
/// Every write-like bio in here holds its range [O-1]. Used on the lane's shard only.
class Parking {
  public:
    Parking(Lane& lane, DeviceShared& shared, unsigned lane_index, Agenda& agenda, Clock& clock);
    ~Parking();
    Parking(const Parking&) = delete;
    Parking& operator=(const Parking&) = delete;

    /// Until the gate opens; if it is open, until later in this turn. At the head: before all that
    /// arrived meanwhile, as requeued I/O goes (dm-semantics 3.5).
    void defer(Bio& bio, bool at_head) noexcept;
    void retry_at(Bio& bio, Time due) noexcept;
    /// Until a DmIo is free [O-12], in order of arrival.
    void starve(Bio& bio) noexcept;
    bool starving() const noexcept { return !starved_.empty(); }
    /// The first of those; null: none.
    Bio* take_starved() noexcept;
    /// True if the bio must wait behind somebody; it then does.
    bool waits_behind_hold(Bio& bio) noexcept;
    /// Looks again at those that wait behind holds, later in this turn.
    void hold_released() noexcept { agenda_.add(held_work_); }

    void close_gate() noexcept;
    void open_gate() noexcept;
    bool gate_closed() const noexcept { return gate_closed_; }
    /// Now, without the time behind closed gates: what a retry's deadline is measured in.
    Time open_time() const noexcept;

    /// Ends all that waits for `origin` with `shutdown` [O-2].
    void abandon(const Origin& origin) noexcept;
    /// Ends all that a device above wants back with a requeue (BlockDevice::recall).
    void give_back() noexcept;

    /// A record of the bio's own, made if there is none or others share it.
    Parked& own(Parked*& parked) noexcept;
    static void share(Parked* parked) noexcept {
        if (parked != nullptr) ++parked->references;
    }
    /// `sectors` of what the record covers have been answered. Null does nothing.
    void drop(Parked* parked, std::uint64_t sectors) noexcept;
    /// Gives the record, made if need be, a hold on this range if it has none. `fresh`: as in
    /// publish().
    void ensure_hold(Parked*& parked, std::uint64_t start_sector, std::uint64_t sectors,
                     bool fresh) noexcept;
    /// Ends a bio, and its record, without issuing it.
    void fail(Bio& bio, const Failure& why) noexcept;

    /// No bio waits and no record is in use.
    bool empty() const noexcept { return records_.in_use() == 0 && waiting_ == 0; }
    /// Of data that waits; a discard or write_zeroes has none.
    std::uint64_t bytes() const noexcept { return bytes_; }
    std::uint64_t deferred_count() const noexcept { return deferred_.count(); }
    std::uint64_t retry_count() const noexcept { return retry_.size(); }
    std::uint64_t held_count() const noexcept { return held_.count(); }

  private:
    bool park(Bio& bio) noexcept;
    void unpark(const Bio& bio) noexcept;
    void issue(Queue<Bio>& waiting) noexcept;
    void issue_deferred() noexcept;
    void issue_due() noexcept;
    template <class Wanted>
    void end_all(const Failure& why, Wanted&& wanted) noexcept;
    void arm() noexcept;

    Lane& lane_;
    DeviceShared& shared_;
    const unsigned lane_index_;
    Agenda& agenda_;
    Clock& clock_;

    bool gate_closed_ = false;
    Time closed_at_{};     // While the gate is closed.
    Time closed_total_{};  // Of all earlier times.

    Queue<Bio> deferred_;
    Queue<Bio> held_;
    Queue<Bio> starved_;
    std::multimap<Time, Bio*> retry_;
    std::uint64_t waiting_ = 0;  // Bios in all four.
    std::uint64_t bytes_ = 0;
    Pool<Parked> records_{SIZE_MAX};  // Bounded by what may be in flight.

    Work deferred_work_;
    Work held_work_;
    Timer timer_;
};

}  // namespace dmcore
