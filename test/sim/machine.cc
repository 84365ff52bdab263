#include "sim/machine.h"

#include <charconv>

namespace sim {

Machine::Machine(dmcore::Random& random, Trace& trace, Stores& stores, Stacks& stacks,
                 unsigned shards)
    : random_(random),
      trace_(trace),
      stores_(stores),
      stacks_(stacks),
      posts_(shards),
      agendas_(shards) {}

dmcore::BlockDevice* Machine::find(const std::string& name, unsigned shard) {
    unsigned number = 0;
    std::from_chars(name.data() + 1, name.data() + name.size(), number);
    if (name[0] == 'p') return &stores_.disk(number);
    return &devices_[number]->lane(shard);
}

dmcore::TableSet Machine::build(unsigned device, const Rows& rows) {
    dmcore::TableSet set;
    set.shared = std::make_shared<dmcore::TableShared>();
    set.shared->rows = Stacks::specs(rows);
    set.shared->device_name = "d" + std::to_string(device);
    set.shared->loaded_at = clock_.now();
    set.shared->seed = random_.next();
    try {
        for (unsigned i = 0; i < shards(); ++i) {
            set.lanes.push_back(std::make_unique<dmcore::Table>(
                set.shared, i, agendas_[i], clock_,
                [&](const std::string& name) { return find(name, i); }));
        }
    } catch (const dmcore::TableError& error) {
        trace_.violation("the table of d%u is refused: row %d, %s", device, error.row,
                         error.message.c_str());
    }
    for (const dmcore::Lower& below : set.lanes.front()->lowers()) {
        set.shared->below.push_back(below.device->name());
    }
    return set;
}

std::vector<dmcore::MappedDevice*> Machine::all_devices() {
    std::vector<dmcore::MappedDevice*> all;
    for (const auto& each : devices_) all.push_back(each.get());
    return all;
}

void Machine::add_device(const Rows& rows, const dmcore::DeviceOptions& options) {
    std::vector<dmcore::ShardSeams> seams;
    for (dmcore::Agenda& agenda : agendas_) seams.push_back({&agenda, &clock_});
    const unsigned number = devices();
    devices_.push_back(std::make_unique<dmcore::MappedDevice>("d" + std::to_string(number), posts_,
                                                              seams, options));
    stacks_.add(rows);
    devices_.back()->on_swap([this](dmcore::MappedDevice::Then then) {
        dmcore::restack(all_devices(), posts_, std::move(then));
    });
    devices_.back()->load(build(number, rows));
    devices_.back()->resume([] {});
    while (deliver()) {
        for (dmcore::Agenda& agenda : agendas_) agenda.run_all();
    }
}

void Machine::abandon(unsigned shard, const dmcore::Origin& origin) noexcept {
    for (const auto& device : devices_) device->lane(shard).abandon(origin);
}

bool Machine::turn(unsigned shard) {
    if (agendas_[shard].empty()) return false;
    trace_.note(What::agenda, shard);
    agendas_[shard].run_all();
    return true;
}

bool Machine::deliver() {
    if (posts_.waiting() == 0) return false;
    trace_.note(What::post, posts_.run_one(static_cast<unsigned>(random_.below(shards() + 1))));
    return true;
}

void Machine::wait(dmcore::Time most) {
    clock_.advance(clock_.now() + most);
    trace_.note(What::timer, static_cast<std::uint64_t>(clock_.now().count()));
}

bool Machine::wait_for_timer() {
    if (!clock_.any()) return false;
    const dmcore::Time next = clock_.next();
    wait(next > clock_.now() ? next - clock_.now() : dmcore::Time{});
    return true;
}

dmcore::DeviceStats Machine::stats(unsigned device) {
    dmcore::DeviceStats sum;
    for (unsigned i = 0; i < shards(); ++i) sum.add(devices_[device]->lane(i).stats());
    return sum;
}

bool Machine::idle() noexcept {
    for (const auto& device : devices_) {
        for (unsigned i = 0; i < shards(); ++i) {
            if (!device->lane(i).idle()) return false;
        }
    }
    return true;
}

}  // namespace sim
