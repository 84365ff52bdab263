// What the control API reads of a running server: Running's side of Live.
#include <algorithm>
#include <set>

#include "config/print.h"
#include "dmcore/joint_swap.h"
#include "server/running.h"

namespace server {
namespace {

constexpr std::chrono::seconds shard_answer_time{1};

HealthPart part(std::string name, bool good, std::string detail = {}) {
    return {std::move(name), good, std::move(detail)};
}

}  // namespace

std::vector<StoreInfo> Running::stores() {
    std::vector<StoreInfo> infos;
    const auto state = this->state();
    for (const auto& store : state->stores) {
        infos.push_back({store->name(), std::string(name_of(store->spec().type)),
                         store->spec().path + store->spec().uri, store->limits().size_sectors,
                         store->errors(), store->link()});
    }
    return infos;
}

std::vector<DeviceInfo> Running::devices() {
    const auto state = this->state();
    std::vector<DeviceInfo> infos;
    for (const auto& device : state->devices) infos.push_back(describe(*state, *device));
    return infos;
}

DeviceInfo Running::describe(const State& state, Device& device) {
    dmcore::MappedDevice& mapped = device.mapped;
    DeviceInfo info;
    info.name = mapped.name();
    info.uuid = state.spec.find_device(info.name)->uuid;
    std::promise<void> described;
    asio::post(control_, [&] {
        info.open_count = open_count(state, device);
        info.suspended = mapped.suspended();
        info.live_table = mapped.has_live_table();
        info.inactive_table = mapped.has_inactive_table();
        info.read_only = mapped.options().read_only;
        info.event_number = mapped.event_number();
        if (const dmcore::Table* table = mapped.inactive()) {
            for (const auto& below : table->lowers()) {
                info.inactive_below.push_back(below.device->name());
            }
        }
        mapped.stats([&](dmcore::DeviceStats stats) {
            info.stats = std::move(stats);
            described.set_value();
        });
    });
    described.get_future().get();
    run_on_shard(0, [&] {
        const dmcore::Lane& lane = mapped.lane(0);
        info.size_sectors = lane.limits().size_sectors;
        if (const dmcore::Table* table = mapped.lane(0).table()) {
            info.targets = table->rows().size();
            // A table may have a million rows, and this is a shard's time: so one of each kind...
            for (const std::size_t first : table->kinds()) {
                const auto& row = table->rows()[first];
                info.target_types.emplace_back(row.type->name);
                if (info.state.empty()) info.state = row.target->state_text();
                if (row.target->is_up()) info.flakey_up = true;
            }
            // ...and all only where the answer is in all of them.
            if (info.flakey_up) {
                info.flakey_up = std::ranges::all_of(table->rows(), [](const auto& row) {
                    return row.target->is_up().value_or(true);
                });
            }
            for (const auto& below : table->lowers()) info.below.push_back(below.device->name());
        }
    });
    return info;
}

/// Every table opens what it stands on, the inactive one, too. On the control thread.
std::uint32_t Running::open_count(const State& state, const Device& device) {
    std::uint32_t count = device.clients;
    for (const auto& other : state.devices) {
        for (const dmcore::TableShared* table : other->mapped.tables()) {
            if (std::ranges::count(table->below, device.mapped.name()) > 0) ++count;
        }
    }
    return count;
}

/// Of each device, all clients whose I/O may go there, through devices above it as well.
std::map<std::string, unsigned> Running::waiting_clients() {
    const auto state = this->state();
    std::map<std::string, unsigned> clients;
    std::vector<dmcore::MappedDevice*> devices;
    for (const auto& each : state->devices) devices.push_back(&each->mapped);
    run_on_control([&] {
        for (const auto& each : state->devices) {
            if (each->clients == 0) continue;
            std::set<std::string> reached{each->mapped.name()};
            const auto bottom_up = dmcore::bottom_up(devices);
            for (auto device = bottom_up.rbegin(); device != bottom_up.rend(); ++device) {
                const auto live = (*device)->live();
                if (!reached.contains((*device)->name()) || live == nullptr) continue;
                reached.insert(live->below.begin(), live->below.end());
            }
            for (const std::string& name : reached) clients[name] += each->clients;
        }
    });
    return clients;
}

std::vector<ServedExport> Running::exports() {
    std::vector<ServedExport> infos;
    const auto state = this->state();
    for (const auto& one : state->exports->all()) {
        nbd::ExportInfo info;
        Features features;
        run_on_shard(0, [&] {
            info = one->info(0);
            features = features_of(*one, 0);
        });
        infos.push_back({info.name,
                         one->spec().device,
                         info.size_bytes,
                         info.read_only,
                         info.description,
                         one->connections(),
                         std::move(features),
                         {}});
    }
    for (unsigned shard = 0; shard < shards_.shards(); ++shard) {
        run_on_shard(shard, [&] {
            for (std::size_t i = 0; i < infos.size(); ++i) {
                infos[i].requests.add(state->exports->all()[i]->counts(shard));
            }
        });
    }
    return infos;
}

std::vector<std::string> Running::listening() {
    std::vector<std::string> found;
    run_on_control([&] { found = uris(); });
    return found;
}

/// A live table belongs to its shard, an inactive one to the control thread.
std::optional<std::string> Running::ask_table(
    const std::string& device, Slot slot,
    const std::function<std::string(const dmcore::Table&)>& ask) {
    const auto found = state()->device(device);
    if (found == nullptr) return std::nullopt;
    std::string text;
    const auto ask_if_there = [&](const dmcore::Table* table) {
        if (table != nullptr) text = ask(*table);
    };
    if (slot == Slot::inactive)
        run_on_control([&] { ask_if_there(found->mapped.inactive()); });
    else
        run_on_shard(0, [&] { ask_if_there(found->mapped.lane(0).table()); });
    return text;
}

std::optional<std::string> Running::table_text(const std::string& device, dmcore::TextForm form,
                                               Slot slot) {
    return ask_table(device, slot,
                     [form](const dmcore::Table& table) { return table.table_text(form); });
}

std::optional<std::string> Running::table_yaml(const std::string& device) {
    const config::Spec spec = live_spec();
    const config::DeviceSpec* found = spec.find_device(device);
    if (found == nullptr) return std::nullopt;
    return "devices:\n" + config::yaml_text(*found);
}

std::optional<std::string> Running::status_text(const std::string& device, Slot slot) {
    return ask_table(device, slot, [](const dmcore::Table& table) { return table.status_text(); });
}

std::vector<HealthPart> Running::startup_health() {
    const bool bound = listening_;
    return {part("listeners", bound, bound ? "bound" : "not bound yet")};
}

/// All that is here is open before anybody can ask; a remote may come later, and go.
std::vector<HealthPart> Running::ready_health() {
    std::vector<HealthPart> parts = startup_health();
    const auto state = this->state();
    for (const auto& store : state->stores) {
        const auto link = store->link();
        const bool good = !link || link->connected;
        parts.push_back(part("store " + store->name(), good, good ? "open" : link->trouble));
    }
    return parts;
}

std::vector<HealthPart> Running::live_health() {
    std::vector<std::future<void>> answers;
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        auto answered = std::make_shared<std::promise<void>>();
        answers.push_back(answered->get_future());
        shards_.post(i, [answered] { answered->set_value(); });
    }
    std::vector<HealthPart> parts;
    const auto until = std::chrono::steady_clock::now() + shard_answer_time;
    for (unsigned i = 0; i < answers.size(); ++i) {
        const bool good = answers[i].wait_until(until) == std::future_status::ready;
        parts.push_back(part("shard " + std::to_string(i), good, good ? "ticking" : "stuck"));
    }
    return parts;
}

}  // namespace server
