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
    info.open_count = open_count(info.name);
    std::promise<void> described;
    asio::post(control_, [&] {
        info.suspended = device.suspended();
        info.live_table = device.has_live_table();
        info.inactive_table = device.has_inactive_table();
        info.read_only = device.options().read_only;
        info.event_number = device.event_number();
        device.stats([&](dmcore::DeviceStats stats) {
            info.stats = std::move(stats);
            described.set_value();
        });
    });
    described.get_future().get();
    std::promise<void> read;
    shards_[0].post([&] {
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
        read.set_value();
    });
    read.get_future().get();
    return info;
}

std::uint32_t Running::open_count(const std::string& device) const {
    std::uint32_t count = 0;
    for (const auto& one : exports_->all()) {
        if (one->spec().device == device) count += one->connections();
    }
    for (const auto& other : spec_.devices) {
        count +=
            static_cast<std::uint32_t>(std::count(other.below.begin(), other.below.end(), device));
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

std::optional<std::string> Running::ask_table(const std::string& device,
                                              std::string (*ask)(const dmcore::Table&)) {
    dmcore::MappedDevice* found = find_device(device);
    if (found == nullptr) return std::nullopt;
    std::promise<std::string> told;
    shards_[0].post([&] {
        const dmcore::Table* table = found->lane(0).table();
        told.set_value(table == nullptr ? std::string() : ask(*table));
    });
    return told.get_future().get();
}

std::optional<std::string> Running::table_text(const std::string& device, dmcore::TextForm form) {
    if (form == dmcore::TextForm::full) {
        return ask_table(device, [](const dmcore::Table& table) {
            return table.table_text(dmcore::TextForm::full);
        });
    }
    return ask_table(device, [](const dmcore::Table& table) { return table.table_text(); });
}

std::optional<std::string> Running::status_text(const std::string& device) {
    return ask_table(device, [](const dmcore::Table& table) { return table.status_text(); });
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
