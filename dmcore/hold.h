#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "dmcore/bio.h"
#include "dmcore/clock.h"

namespace dmcore {

/// A range that a write-like part has reserved because it waits, so that a later overlapping one
/// can't overtake it [O-1].
struct Hold {
    std::uint64_t start_sector;
    std::uint64_t end_sector;
    bool fresh;                  // Its part has not been issued yet...
    std::uint64_t order;         // ...then of arrival.
    std::uint64_t sectors_left;  // Not yet answered.

    /// A part that was issued and came back arrived before all overlapping ones that wait for their
    /// first issue: otherwise it would have waited behind them.
    bool before(const Hold& other) const noexcept {
        return fresh != other.fresh ? other.fresh : order < other.order;
    }
};

/// The ranges held on one mapped device, by parts of any lane. Any thread. While nobody holds
/// anything it costs one load.
class HoldTable {
  public:
    explicit HoldTable(unsigned lanes) : waiting_(lanes) {}

    bool any() const noexcept { return active_.load(std::memory_order_acquire) != 0; }

    /// `fresh`: nothing of the range has been issued yet.
    Hold* publish(std::uint64_t start_sector, std::uint64_t sectors, bool fresh);

    /// Must this range wait behind somebody who came before `own` (null: before now)? If so, `lane`
    /// is woken at the next release.
    bool blocked(std::uint64_t start_sector, std::uint64_t end_sector, const Hold* own,
                 unsigned lane);

    /// `sectors` of the hold have been answered. Once all are it is gone, and `wake` is called,
    /// under the lock, with each lane that waits for somebody.
    void release(Hold& hold, std::uint64_t sectors, const std::function<void(unsigned)>& wake);

  private:
    using Holds = std::multimap<std::uint64_t, Hold>;  // By start.

    std::mutex mutex_;
    Holds holds_;
    std::uint64_t longest_sectors_ = 0;    // No hold is longer: how far back to look for overlaps.
    std::vector<Holds::node_type> spare_;  // Used again: publishing costs no allocation once warm.
    std::uint64_t next_order_ = 0;
    std::vector<bool> waiting_;  // Lanes with parts behind a hold.
    std::atomic<std::size_t> active_{0};
};

/// What a part of a bio carries from the first time it has to wait until it is answered. Counted:
/// parts that a re-issue splits share one until one of them fails anew.
struct Parked : Link {
    std::uint32_t references = 1;
    std::uint32_t attempts = 0;  // Retries granted so far.
    bool issued = false;         // It has been below before: the next time is a re-issue.
    Failure first;               // What the client hears when the policy is spent...
    Time first_at{};             // ...and when that was, in gate-open time.
    Hold* hold = nullptr;        // Null for reads and flushes.
};

}  // namespace dmcore
