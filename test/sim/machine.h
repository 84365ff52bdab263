#pragma once

#include <memory>
#include <vector>

#include "dmcore/joint_swap.h"
#include "sim/seams.h"
#include "sim/stacks.h"
#include "sim/stores.h"

namespace sim {

/// Shards, their agendas and the devices on them: dmcore as the server would have it, on one
/// thread. Device number N is called dN and stands on disks (pN) and devices of lower numbers.
class Machine {
  public:
    Machine(dmcore::Random& random, Trace& trace, Stores& stores, Stacks& stacks, unsigned shards);

    void add_device(const Rows& rows, const dmcore::DeviceOptions& options);
    dmcore::TableSet build(unsigned device, const Rows& rows);

    unsigned shards() const noexcept { return posts_.shards(); }
    unsigned devices() const noexcept { return static_cast<unsigned>(devices_.size()); }
    dmcore::MappedDevice& device(unsigned number) noexcept { return *devices_[number]; }
    std::vector<dmcore::MappedDevice*> all_devices();
    dmcore::Agenda& agenda(unsigned shard) noexcept { return agendas_[shard]; }
    void abandon(unsigned shard, const dmcore::Origin& origin) noexcept;

    /// One turn of a shard. False: it had nothing to do.
    bool turn(unsigned shard);
    /// A message from thread to thread. False: there was none.
    bool deliver();
    /// Lets time pass, up to `most` or the next timer.
    void wait(dmcore::Time most);
    /// Lets time pass to the next timer. False: there is none.
    bool wait_for_timer();
    dmcore::Time now() const noexcept { return clock_.now(); }

    /// What all lanes of a device have counted.
    dmcore::DeviceStats stats(unsigned device);
    /// Nothing is under way anywhere in dmcore.
    bool idle() noexcept;

  private:
    dmcore::BlockDevice* find(const std::string& name, unsigned shard);

    dmcore::Random& random_;
    Trace& trace_;
    Stores& stores_;
    Stacks& stacks_;
    SimClock clock_;
    Posts posts_;
    std::vector<dmcore::Agenda> agendas_;
    std::vector<std::unique_ptr<dmcore::MappedDevice>> devices_;
};

}  // namespace sim
