#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "dmcore/lane.h"

namespace dmcore {

/// What a lane needs of its shard.
struct ShardSeams {
    Agenda* agenda;
    Clock* clock;
};

/// One loaded table: a copy for every lane, and what keeps the devices below them open.
struct TableSet {
    std::shared_ptr<TableShared> shared;
    std::vector<std::unique_ptr<Table>> lanes;
    std::shared_ptr<void> keep;
};

/// What a message was answered; each line of the text is ended. Or why it was refused.
using MessageAnswer = std::variant<std::string, TableError>;

/// A mapped device over all shards: its lanes, its two table slots and its state (dm-semantics 5).
/// Used on the control thread only; lanes are reached by messages, and a step counts as done when
/// every lane has answered. Steps must not overlap: start the next one from the last one's `then`.
class MappedDevice {
  public:
    using Then = std::function<void()>;

    MappedDevice(std::string name, Executor& executor, std::span<const ShardSeams> shards,
                 const DeviceOptions& options);

    const std::string& name() const noexcept { return shared_->name; }
    std::size_t lane_count() const noexcept { return lanes_.size(); }
    /// Of that shard; to be used there.
    Lane& lane(unsigned shard) noexcept { return *lanes_[shard]; }

    bool suspended() const noexcept { return suspended_; }
    bool has_live_table() const noexcept { return live_ != nullptr; }
    bool has_inactive_table() const noexcept { return inactive_.shared != nullptr; }
    /// As loaded; null without one.
    std::shared_ptr<const TableShared> live() const noexcept { return live_; }
    /// Lane 0's copy of the inactive table; null without one. Nobody else uses it.
    const Table* inactive() const noexcept {
        return has_inactive_table() ? inactive_.lanes.front().get() : nullptr;
    }
    /// All tables that there are: in the two slots, or on the way from one to the other.
    std::vector<const TableShared*> tables() const;
    /// Rises at each swap, once the new table is there.
    std::uint64_t event_number() const noexcept { return event_number_; }
    /// Called after each rise of event_number(), on the control thread.
    void on_event(Then call) { on_event_ = std::move(call); }
    const DeviceOptions& options() const noexcept { return options_; }

    /// Puts a table into the inactive slot, in place of one that is there.
    void load(TableSet tables) { inactive_ = std::move(tables); }
    void clear() { inactive_ = {}; }

    /// Closes the gate on every lane; `then` when nothing is below any more. Parts that ask to be
    /// requeued meanwhile are put back if `noflush`, and fail otherwise. Suspended already: `then`.
    void suspend(bool noflush, Then then);
    /// Takes back a suspend whether it has finished or not, and its `then` with it. Not
    /// once a resume has found the device quiet, which suspended() tells.
    void undo_suspend(Then then);
    /// Makes an inactive table live, suspending first if need be, then opens the gate. The table
    /// leaves its slot at once; if the suspend is taken back it returns, unless another has come.
    /// Without a live or inactive table there is nothing to resume: the caller checks.
    void resume(Then then, bool noflush = false);

    /// Other options; of the lanes once `then` is called.
    void set_options(const DeviceOptions& options, Then then);

    /// Suspends for good, and lets the targets write what they still hold. The device is not to be
    /// used any more.
    void retire(Then then);
    /// Destroys the lanes, each on its shard; once retired, and when nobody stands on it.
    void end(Then then);

    /// Sends a message to the target that holds `sector` [T-13]. `words` as split by [T-6].
    void message(std::uint64_t sector, std::vector<std::string> words,
                 std::function<void(MessageAnswer)> then);

    /// Called between a swap by resume() and the opening of the gate, on the control thread; the
    /// gate opens when the argument is called. For restack() of what stands on this device.
    void on_swap(std::function<void(Then)> call) { on_swap_ = std::move(call); }

    /// Runs `each` on every lane, on its shard; then `then` here.
    void for_each_lane(const std::function<void(Lane&)>& each, Then then);
    void stats(std::function<void(DeviceStats)> then);

  private:
    friend class JointSwap;

    void swap(Then then);
    void close_targets(Then then);
    void on_each_lane(const std::function<void(Lane&, Then answer)>& each, Then then);

    Executor& executor_;
    DeviceOptions options_;
    std::shared_ptr<DeviceShared> shared_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::shared_ptr<TableShared> live_;
    TableSet inactive_;
    TableSet resuming_;  // Out of the inactive slot and not live yet.
    bool suspended_ = false;
    std::uint64_t suspend_round_ = 0;  // Tells an undone suspend's answers from a later one's.
    std::uint64_t event_number_ = 0;
    Then on_event_ = [] {};
    std::function<void(Then)> on_swap_ = [](const Then& then) { then(); };
};

}  // namespace dmcore
