// What the control API changes of a running server: Running's side of Live.
#include <future>
#include <utility>

#include "config/closest.h"
#include "server/running.h"

namespace server {

const config::DeviceSpec& Running::known(const std::string& device) const {
    if (const config::DeviceSpec* found = spec_.find_device(device)) return *found;
    throw StepError(StepError::Kind::no_such_device, "no-such-device",
                    "there is no device " + config::quoted(device));
}

/// What a new table may stand on, as it is now.
std::vector<config::Standing> Running::standing() {
    std::vector<config::Standing> all;
    for (const Store& store : stores_) {
        all.push_back({store.spec.name, false, store.fronts.front()->limits()});
    }
    const std::size_t stores = all.size();
    run_on_control([&] {
        for (const auto& device : devices_) {
            config::Standing& each = all.emplace_back();
            each.name = device->name();
            each.is_device = true;
            for (const dmcore::TableShared* table : device->tables()) {
                each.below.insert(each.below.end(), table->below.begin(), table->below.end());
            }
        }
    });
    run_on_shard(0, [&] {
        for (std::size_t i = 0; i < devices_.size(); ++i) {
            all[stores + i].limits = devices_[i]->lane(0).limits();
        }
    });
    return all;
}

void Running::load(const std::string& device, const config::TableText& table) {
    const std::lock_guard one_at_a_time(loading_);
    config::Diagnostics found;
    const auto loaded = config::load_table(known(device), table, standing(), found);
    if (!loaded) throw BadTable(std::move(found));
    dmcore::TableSet tables;
    try {
        tables = build(loaded->device);
    } catch (const dmcore::TableError& error) {  // Only if something changed in between.
        found.error(loaded->device.place.of(error.row, error.word, error.part),
                    {error.slug, error.message, {}, error.help});
        throw BadTable(std::move(found));
    }
    run_on_control([&] { find_device(device)->load(std::move(tables)); });
}

void Running::clear(const std::string& device) {
    known(device);
    run_on_control([&] { find_device(device)->clear(); });
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
    known(device);
    const auto done = std::make_shared<std::promise<void>>();
    auto taken = done->get_future();
    shards_.post_control([this, device, step, done] {
        step(steps_.at(device), [done](std::exception_ptr why) {
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
    known(device);
    std::promise<dmcore::MessageAnswer> answered;
    shards_.post_control([&] {
        find_device(device)->message(sector, words, [&](dmcore::MessageAnswer answer) {
            answered.set_value(std::move(answer));
        });
    });
    dmcore::MessageAnswer answer = answered.get_future().get();
    if (auto* error = std::get_if<dmcore::TableError>(&answer)) throw std::move(*error);
    return std::get<std::string>(std::move(answer));
}

void Running::end_steps() {
    events_.end();
    run_on_control([this] {
        for (auto& [name, steps] : steps_) steps.end();
    });
}

}  // namespace server
