// What the control API reads of a running server: Running's side of Live.
#include <algorithm>

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
    for (const Store& store : stores_) {
        const bool file = store.file != nullptr;
        infos.push_back({store.spec.name, file ? "file" : "memory", file ? store.spec.path : "",
                         store.fronts.front()->limits().size_sectors});
    }
    return infos;
}

std::vector<DeviceInfo> Running::devices() {
    std::vector<DeviceInfo> infos;
    for (const auto& spec : spec_.devices) infos.push_back(describe(*find_device(spec.name)));
    return infos;
}

DeviceInfo Running::describe(dmcore::MappedDevice& device) {
    DeviceInfo info;
    info.name = device.name();
    info.uuid = spec_.find_device(info.name)->uuid;
    std::promise<void> described;
    asio::post(control_, [&] {
        info.open_count = open_count(info.name);
        info.suspended = device.suspended();
        info.live_table = device.has_live_table();
        info.inactive_table = device.has_inactive_table();
        info.read_only = device.options().read_only;
        info.event_number = device.event_number();
        if (const dmcore::Table* table = device.inactive()) {
            for (const auto& below : table->lowers()) {
                info.inactive_below.push_back(below.device->name());
            }
        }
        device.stats([&](dmcore::DeviceStats stats) {
            info.stats = std::move(stats);
            described.set_value();
        });
    });
    described.get_future().get();
    run_on_shard(0, [&] {
        const dmcore::Lane& lane = device.lane(0);
        info.size_sectors = lane.limits().size_sectors;
        if (const dmcore::Table* table = device.lane(0).table()) {
            info.targets = table->rows().size();
            for (const auto& row : table->rows()) {
                const std::string type(row.type->name);
                auto& types = info.target_types;
                if (std::find(types.begin(), types.end(), type) == types.end())
                    types.push_back(type);
                if (info.state.empty()) info.state = row.target->state_text();
            }
            for (const auto& below : table->lowers()) info.below.push_back(below.device->name());
        }
    });
    return info;
}

/// Every table opens what it stands on, the inactive one, too. On the control thread.
std::uint32_t Running::open_count(const std::string& device) const {
    std::uint32_t count = 0;
    for (const auto& one : exports_->all()) {
        if (one->spec().device == device) count += one->connections();
    }
    for (const auto& other : devices_) {
        for (const dmcore::TableShared* table : other->tables()) {
            const auto& below = table->below;
            if (std::find(below.begin(), below.end(), device) != below.end()) ++count;
        }
    }
    return count;
}

std::vector<ServedExport> Running::exports() {
    std::vector<ServedExport> infos;
    for (const auto& one : exports_->all()) {
        std::promise<nbd::ExportInfo> told;
        shards_[0].post([&] { told.set_value(one->info(0)); });
        const nbd::ExportInfo info = told.get_future().get();
        infos.push_back({info.name, one->spec().device, info.size_bytes, info.read_only,
                         info.description, one->connections()});
    }
    return infos;
}

/// A live table belongs to its shard, an inactive one to the control thread.
std::optional<std::string> Running::ask_table(
    const std::string& device, Slot slot,
    const std::function<std::string(const dmcore::Table&)>& ask) {
    dmcore::MappedDevice* found = find_device(device);
    if (found == nullptr) return std::nullopt;
    std::string text;
    const auto ask_if_there = [&](const dmcore::Table* table) {
        if (table != nullptr) text = ask(*table);
    };
    if (slot == Slot::inactive)
        run_on_control([&] { ask_if_there(found->inactive()); });
    else
        run_on_shard(0, [&] { ask_if_there(found->lane(0).table()); });
    return text;
}

std::optional<std::string> Running::table_text(const std::string& device, dmcore::TextForm form,
                                               Slot slot) {
    return ask_table(device, slot,
                     [form](const dmcore::Table& table) { return table.table_text(form); });
}

std::optional<std::string> Running::status_text(const std::string& device, Slot slot) {
    return ask_table(device, slot, [](const dmcore::Table& table) { return table.status_text(); });
}

std::vector<HealthPart> Running::startup_health() {
    const bool bound = listening_;
    return {part("listeners", bound, bound ? "bound" : "not bound yet")};
}

/// Everything is opened before anybody can ask: a server that answers is ready once it listens.
std::vector<HealthPart> Running::ready_health() {
    std::vector<HealthPart> parts = startup_health();
    for (const Store& store : stores_)
        parts.push_back(part("store " + store.spec.name, true, "open"));
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
