#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "dmcore/agenda.h"
#include "dmcore/clock.h"
#include "dmcore/device.h"
#include "dmcore/executor.h"
#include "dmcore/hold.h"
#include "dmcore/parking.h"
#include "dmcore/pool.h"
#include "dmcore/regions.h"
#include "dmcore/retry.h"
#include "dmcore/stats.h"
#include "dmcore/table.h"

namespace dmcore {

class Lane;

/// A store that was written under an earlier table and that flushes of the live one do not reach:
/// it stays open, and is flushed as well, until one flush went well [O-4].
struct Lingering {
    Lower lower;
    std::shared_ptr<void> keep;  // Keeps it open.
};
using LingeringList = std::vector<Lingering>;

/// One pass of dm over the front of a bio: the granule of requeue and of accounting (the kernel's
/// dm_io). `sectors` and `sector_offset` are set only when the bio went on behind it [W-1].
struct DmIo : Link {
    Lane* lane = nullptr;
    Bio* orig = nullptr;
    std::uint64_t sectors = 0;
    std::uint64_t sector_offset = 0;  // From this part's start to the end of the bio.
    Time started_at{};
    std::uint32_t pending = 0;  // Clones not yet ended, plus one while clones are being issued.
    std::uint32_t row = 0;      // Where the fan-out of a flush, discard or write_zeroes stands:
    std::uint32_t number = 0;   // next clone of that row.
    bool was_split = false;
    bool accounted = false;    // Belongs in the statistics, however it ends, [A-4].
    bool clone_used = false;   // The embedded clone has been given out.
    Parked* parked = nullptr;  // As the bio's when this pass began.
    RegionMark region_mark;    // Of accounting, where the device has regions.
    Failure failure;           // The first in time; `requeue` beats errors [L-35].
    std::shared_ptr<LingeringList> lingering;  // Where this flush goes as well; null: nowhere.
    Clone clone;                               // The first one: most parts need no other.

    std::uint64_t start_sector() const noexcept {
        return was_split ? orig->iter.end() - sector_offset : orig->iter.sector;
    }
    std::uint64_t part_sectors() const noexcept {
        return was_split ? sectors : orig->iter.sectors();
    }
    RegionIo region_io() const noexcept {
        return {start_sector(), part_sectors(), orig->op != Op::read};
    }
};

/// The private clone that stage two runs again in place of a split part; it answers that part's
/// share of `parent` [W-8].
struct Requeued : Bio {
    Bio* parent = nullptr;
    Pool<Requeued>* pool = nullptr;
};

/// What all lanes of one mapped device share.
struct DeviceShared {
    DeviceShared(std::string device_name, unsigned lane_count, Executor& executor_)
        : name(std::move(device_name)), executor(executor_), holds(lane_count), lanes(lane_count) {}

    std::string name;
    Executor& executor;
    HoldTable holds;
    StatsRegions regions;
    std::vector<Lane*> lanes;  // By shard; set before any I/O.
};

/// Options of a device that are not in its table.
struct DeviceOptions {
    RetryPolicy retry = transient_retry();
    bool read_only = false;
    std::uint32_t block_bytes = 512;
    // Of each lane, fixed when it is made [O-12]: parts in flight, and clones beyond their first.
    std::size_t parts_max = limits::dm_ios_per_lane;
    std::size_t clones_max = limits::extra_clones_per_lane;

    friend bool operator==(const DeviceOptions&, const DeviceOptions&) = default;
};

/// A mapped device on one shard. Splits each bio by trimming it from the front, maps every part
/// through the live table, accounts it, and sends what must be run again through the two stages of
/// requeue (kernel commit "dm: add two stage requeue mechanism"). Used on its shard only.
///
/// 1. A bio's end never moves while parts of it are out; only its front does.
/// 2. `pending_` counts DmIos; when it is 0 nothing of this lane is below. What waits is in
/// Parking,
///    holds no DmIo and is not pending.
/// 3. A DmIo ends once per pass: it answers its share of `orig`, or puts `orig` back to wait.
class Lane final : public BlockDevice {
  public:
    Lane(std::shared_ptr<DeviceShared> shared, unsigned index, Agenda& agenda, Clock& clock,
         DeviceOptions options);
    /// Only when idle().
    ~Lane() override;

    void submit(Bio& bio) noexcept override;
    const Limits& limits() const noexcept override { return limits_; }
    const std::string& name() const noexcept override { return shared_->name; }
    /// By the live table, suspended or not.
    void locate(Place& place) noexcept override;

    /// Stops issuing. `on_quiet` runs on this shard when nothing of this lane is below any more.
    /// With `noflush`, parts that ask for a requeue meanwhile are put back instead of failing
    /// [S-1].
    void close_gate(bool noflush, std::function<void()> on_quiet);
    /// Lets what was deferred and what arrives through the live table. Forgets an on_quiet not run.
    void open_gate() noexcept;
    bool gate_closed() const noexcept { return parking_.gate_closed(); }

    /// Lets the targets of the live table finish before it goes; `then` when they have. Only while
    /// closed and quiet.
    void close_targets(const std::function<void()>& then);
    /// What one lane takes in a swap.
    struct Swap {
        Lane* lane;
        std::unique_ptr<Table> table;
        std::shared_ptr<void> keep;  // Keeps what the table stands on open.
        DeviceOptions options;
    };
    /// Makes all these tables live as one [O-7], and gives back those that were; of one shard, each
    /// closed and quiet. Stores that a table reached and the new ones don't are flushed by the next
    /// flush all the same [O-4].
    static void swap(std::span<Swap> swaps);
    /// A device below has another table: takes up what it can do now. What is below goes first.
    void restack();
    /// Flushes the stores that only earlier tables stood on, so that they can be closed. No client
    /// asked for this flush: it is in no statistics, and a failure is left for theirs to find. Does
    /// nothing while suspended: a client's flush will do it then.
    void settle() noexcept;
    /// Nothing comes any more. `then`, which may destroy this lane, later in this turn, when
    /// nothing on the agenda is its own.
    void end(std::function<void()> then);
    Table* table() noexcept { return table_.get(); }
    void set_options(const DeviceOptions& options);

    /// Nothing of `origin`, which is dead, is issued after this: what waits here ends with
    /// `shutdown` [O-2]. Bios below are not looked for: every lane of the shard is to be told.
    void abandon(const Origin& origin) noexcept;
    /// Reserves a range for an I/O of a dead connection that a store still has [O-1].
    Hold* hold(std::uint64_t start_sector, std::uint64_t sectors);
    void release(Hold& hold, std::uint64_t sectors) noexcept;

    /// More waits here, or on a device below, than its policy allows: don't read more requests.
    bool congested() const noexcept override;
    void recall() noexcept override;
    /// The part that the bio is a clone of; null if it is no clone.
    static const DmIo* part_of(const Bio& bio) noexcept;
    /// The bio that this one does a part of, as its clone or in its place after a requeue; null for
    /// one that was submitted from outside of dmcore.
    static const Bio* above(const Bio& bio) noexcept;
    void lead(StoreWalk& walk, const std::shared_ptr<void>& keep) override;
    /// Would a device above, which is suspending with noflush, take this bio back?
    static bool wanted_back(const Bio& bio) noexcept;

    /// Answers dm's own messages (`@stats_...`, no table needed), and passes others to the target
    /// that holds `sector` (Target::message). Any lane will do, but it must be the same each time.
    std::variant<std::string, TableError> message(std::uint64_t sector,
                                                  std::span<const std::string> words);

    /// Every bio that came has ended.
    bool idle() const noexcept;

    DeviceStats stats() const;

  private:
    // lane.cc: the way down.
    void enter(Bio& bio) noexcept;
    bool admit(Bio& bio) noexcept;
    bool pass(Bio& bio) noexcept;
    DmIo* begin(Bio& bio) noexcept;
    std::uint64_t part_sectors(const Bio& bio, const Table::Row& row) const noexcept;
    bool carve(DmIo& io, std::uint64_t bytes) noexcept;
    bool map_data(DmIo& io, Table::Row& row, std::uint64_t sectors) noexcept;
    void fan_out(DmIo& io) noexcept;
    bool fan_out_row(DmIo& io) noexcept;
    bool fan_out_flush(DmIo& io) noexcept;
    Clone* take_clone(DmIo& io, std::uint64_t sector, std::uint64_t sectors) noexcept;
    void dispatch(DmIo& io, Clone& clone, Table::Row& row, Mapped mapped) noexcept;
    void send(DmIo& io, Clone& clone) noexcept;
    friend void issue(Clone& clone) noexcept;
    void recall_below() noexcept;

    // swap.cc: how tables change.
    StoreWalk stores(StoreWalk::Of which);
    void linger(const StoreWalk& old);
    void forget_lingering(std::uint64_t generation) noexcept;
    static void settled(Bio& bio) noexcept;

    // completion.cc: the way up.
    static void clone_done(Bio& bio) noexcept;
    static void merge(DmIo& io, const Failure& failure) noexcept;
    void complete(DmIo& io) noexcept;
    void finish(DmIo& io) noexcept;
    void finish_failed(DmIo& io) noexcept;
    void retire(DmIo& io) noexcept;
    void account(DmIo& io) noexcept;
    void count(const DmIo& io, Time now) noexcept;
    void end_accounting(DmIo& io, bool ended) noexcept;
    void feed_starved() noexcept;
    void tell_quiet() noexcept;
    void flushed_lingering() noexcept;

    // requeue.cc: what is run again.
    bool retryable(const DmIo& io) const noexcept;
    void stage_one(DmIo& io) noexcept;
    void requeue_worker() noexcept;
    void stage_two(DmIo& io) noexcept;
    bool grant_retry(DmIo& io) noexcept;
    Bio& put_back(DmIo& io) noexcept;

    std::shared_ptr<DeviceShared> shared_;
    const unsigned index_;
    Agenda& agenda_;
    Clock& clock_;
    DeviceOptions options_;
    std::unique_ptr<Table> table_;
    std::shared_ptr<void> keep_;  // What the live table stands on.
    Limits limits_;

    Pool<DmIo> ios_;
    Pool<Clone> clones_;
    std::uint64_t pending_ = 0;

    bool noflush_ = false;
    std::function<void()> on_quiet_;
    Parking parking_;
    Queue<DmIo> requeue_list_;           // Stage one; the latest first, as in the kernel (3.5).
    Queue<DmIo> fan_starved_;            // Waits for a clone [O-12].
    Pool<Requeued> requeued_{SIZE_MAX};  // Bounded by the DmIos that were in flight.

    Work requeue_work_;
    Work feed_work_;
    Work quiet_work_;

    std::shared_ptr<LingeringList> lingering_;  // Null: none.
    Origin own_;                                // Of settle().
    std::uint64_t table_generation_ = 0;
    Time busy_since_{};  // While anything is in flight.
    DeviceStats stats_;
};

}  // namespace dmcore
