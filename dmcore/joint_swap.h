#pragma once

#include <memory>
#include <vector>

#include "dmcore/mapped_device.h"

namespace dmcore {

/// Changes the tables of several devices as one [O-7]: no I/O sees one of them changed and another
/// not. Used on the control thread; the devices must not be stepped otherwise until it has ended.
///
/// A device that was suspended before stays suspended after. What is in an inactive slot stays
/// there.
class JointSwap {
  public:
    using Then = MappedDevice::Then;

    struct Part {
        MappedDevice* device;
        TableSet tables;  // To go live; after commit() those that were.
        DeviceOptions options;
        bool was_suspended = false;
    };

    /// `all` is every device that may stand on one of the parts, the parts included.
    JointSwap(std::vector<Part> parts, std::vector<MappedDevice*> all);
    JointSwap(const JointSwap&) = delete;
    JointSwap& operator=(const JointSwap&) = delete;

    /// Closes all gates with noflush, parents before children; `quiet` when nothing of them is
    /// below any more. What waits further down comes back to the top, so they all wait together,
    /// for the slowest I/O in flight.
    void suspend(Then quiet);
    /// Takes the suspend back, whether it has finished or not, and its `quiet` with it. Everything
    /// is as before.
    void undo(Then then);
    /// Once quiet: lets the old targets finish, swaps, and opens the gates, children before
    /// parents.
    void commit(Then then);

    std::vector<Part>& parts() noexcept { return parts_; }

  private:
    void swap(Then then);
    void swap_lanes(unsigned shard);
    void open(Then then);
    template <class Step>
    void on_each(const std::vector<Part*>& parts, Step step, Then then);
    std::vector<Part*> children_first();

    std::vector<Part> parts_;
    std::vector<MappedDevice*> all_;
    std::uint64_t round_ = 0;  // Tells an undone suspend's answers from a later one's.
};

/// The devices in an order in which each comes behind all that its live table stands on.
std::vector<MappedDevice*> bottom_up(const std::vector<MappedDevice*>& devices);

/// One of these devices has taken another table: all learn what they can do now, from what is below
/// them. On the control thread; the devices must stay until `then`. See MappedDevice::on_swap().
void restack(const std::vector<MappedDevice*>& devices, Executor& executor,
             MappedDevice::Then then);

}  // namespace dmcore
