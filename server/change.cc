// What the control API changes of a running server: Running's side of Live.
#include <future>
#include <utility>

#include "config/build.h"
#include "config/diagnostic.h"
#include "server/running.h"

namespace server {

std::shared_ptr<Device> Running::known(const std::string& device) const {
    if (auto found = state()->device(device)) return found;
    throw StepError(StepError::Kind::no_such_device, "no-such-device",
                    "there is no device " + config::in_quotes(device));
}

/// What a new table may stand on, as it is now.
std::vector<config::Standing> Running::standing(const State& state) {
    std::vector<config::Standing> all;
    for (const auto& store : state.stores) {
        all.push_back({store->name(), false, store->limits()});
    }
    const std::size_t stores = all.size();
    run_on_control([&] {
        for (const auto& device : state.devices) {
            config::Standing& each = all.emplace_back();
            each.name = device->mapped.name();
            each.is_device = true;
            for (const dmcore::TableShared* table : device->mapped.tables()) {
                each.below.insert(each.below.end(), table->below.begin(), table->below.end());
            }
        }
    });
    run_on_shard(0, [&] {
        for (std::size_t i = 0; i < state.devices.size(); ++i) {
            all[stores + i].limits = state.devices[i]->mapped.lane(0).limits();
        }
    });
    return all;
}

void Running::load(const std::string& device, const config::TableText& table) {
    const std::lock_guard one_at_a_time(changing_);
    const auto found_device = known(device);
    const auto state = this->state();
    const std::vector<config::Standing> all = standing(*state);
    config::Diagnostics found;
    const auto loaded = config::load_table(*state->spec.find_device(device), table, all, found);
    if (!loaded) throw BadTable(std::move(found));
    const auto find = [&](const std::string& name, unsigned shard) -> dmcore::Lower {
        if (const auto store = state->store(name)) return &store->front(shard);
        const auto below = state->device(name);
        if (below == nullptr) return nullptr;
        return {&below->mapped.lane(shard),
                std::ranges::find(all, name, &config::Standing::name)->limits};
    };
    dmcore::TableSet tables;
    try {
        tables =
            config::build_tables(loaded->device, shards_.seams(), Shard::clock_time(), seed_, find);
    } catch (const dmcore::TableError& error) {  // Only if something changed in between.
        found.error(loaded->device.place.of(error.row, error.word, error.part),
                    {error.slug, error.message, {}, error.help});
        throw BadTable(std::move(found));
    }
    tables.keep = state->keep(loaded->device.below);
    run_on_control([&] { found_device->mapped.load(std::move(tables)); });
}

void Running::clear(const std::string& device) {
    const auto found = known(device);
    run_on_control([&] { found->mapped.clear(); });
}

void Running::suspend(const std::string& device, bool noflush) {
    take_step(device, [noflush](DeviceSteps& steps, DeviceSteps::Done done) {
        steps.suspend(noflush, std::move(done));
    });
}

void Running::resume(const std::string& device, bool noflush) {
    take_step(device, [noflush](DeviceSteps& steps, DeviceSteps::Done done) {
        steps.resume(noflush, std::move(done));
    });
}

void Running::take_step(const std::string& device,
                        const std::function<void(DeviceSteps&, DeviceSteps::Done)>& step) {
    const auto found = known(device);
    const auto done = std::make_shared<std::promise<void>>();
    auto taken = done->get_future();
    shards_.post_control([found, step, done] {
        step(found->steps, [done](std::exception_ptr why) {
            if (why == nullptr)
                done->set_value();
            else
                done->set_exception(std::move(why));
        });
    });
    taken.get();
}

std::string Running::message(const std::string& device, std::uint64_t sector,
                             const std::vector<std::string>& words) {
    const auto found = known(device);
    std::promise<dmcore::MessageAnswer> answered;
    shards_.post_control([&] {
        found->mapped.message(sector, words, [&](dmcore::MessageAnswer answer) {
            answered.set_value(std::move(answer));
        });
    });
    dmcore::MessageAnswer answer = answered.get_future().get();
    if (auto* error = std::get_if<dmcore::TableError>(&answer)) throw std::move(*error);
    return std::get<std::string>(std::move(answer));
}

void Running::end_steps() {
    events_.end();
    feed_.end();
    run_on_control([this] {
        for (const auto& device : ownership_->devices()) device->steps.end();
    });
}

}  // namespace server
