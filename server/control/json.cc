#include "server/control/json.h"

#include <algorithm>
#include <charconv>

namespace server::control {
namespace {

/// The words of the API and of the metrics, in the order of dmcore::Op.
constexpr std::array<std::string_view, dmcore::op_count> op_names = {"read", "write", "flush",
                                                                     "trim", "zero"};

Json op_json(const dmcore::OpStats& op) {
    return {{"ios", op.ios}, {"sectors", op.sectors}, {"time_ns", op.time.count()}};
}

Json below_json(const dmcore::DeviceStats::Below& below) {
    return {{"name", below.name},
            {"issued", below.issued},
            {"reissued", below.reissued},
            {"reissued_fan_out", below.reissued_fan_out}};
}

/// The next word of `text`, which loses it.
std::string_view take_word(std::string_view& text) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word;
}

std::uint64_t number(std::string_view word) {
    std::uint64_t value = 0;
    std::from_chars(word.data(), word.data() + word.size(), value);
    return value;
}

}  // namespace

std::string dump(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json json_of(const dmcore::DeviceStats& stats) {
    std::uint64_t ios = 0;
    std::uint64_t sectors = 0;
    Json ops = Json::object();
    for (std::size_t op = 0; op < dmcore::op_count; ++op) {
        ios += stats.ops[op].ios;
        sectors += stats.ops[op].sectors;
        ops[std::string(op_names[op])] = op_json(stats.ops[op]);
    }
    Json below = Json::array();
    for (const auto& one : stats.below) below.push_back(below_json(one));
    return {{"ios", ios},
            {"sectors", sectors},
            {"ops", std::move(ops)},
            {"in_flight", stats.in_flight()},
            {"busy_ns", stats.busy.count()},
            {"pending", stats.pending},
            {"splits", stats.splits},
            {"stage_one", stats.stage_one},
            {"stage_two", stats.stage_two},
            {"retried", stats.retried},
            {"retries_exhausted", stats.retries_exhausted},
            {"deferred", stats.deferred},
            {"waiting_retry", stats.waiting_retry},
            {"waiting_overlap", stats.waiting_overlap},
            {"parked_bytes", stats.parked_bytes},
            {"below", std::move(below)}};
}

Json json_of(const DeviceInfo& device) {
    Json json = {{"name", device.name},
                 {"uuid", device.uuid},
                 {"suspended", device.suspended},
                 {"live_table", device.live_table},
                 {"inactive_table", device.inactive_table},
                 {"read_only", device.read_only},
                 {"open_count", device.open_count},
                 {"event_number", device.event_number},
                 {"targets", device.targets},
                 {"target_types", device.target_types},
                 {"state", device.state},
                 {"size_sectors", device.size_sectors}};
    json.update(json_of(device.stats));
    Json below = Json::array();
    for (const std::string& name : device.below) {
        const auto found =
            std::ranges::find(device.stats.below, name, &dmcore::DeviceStats::Below::name);
        below.push_back(found == device.stats.below.end()
                            ? below_json(dmcore::DeviceStats::Below{.name = name})
                            : below_json(*found));
    }
    json["below"] = std::move(below);
    return json;
}

Json json_of(const StoreInfo& store) {
    Json json = {{"name", store.name},
                 {"type", store.type},
                 {"detail", store.detail},
                 {"size_sectors", store.size_sectors}};
    if (!store.link) return json;
    json["connected"] = store.link->connected;
    json["reconnects"] = store.link->reconnects;
    if (!store.link->connected) json["trouble"] = store.link->trouble;
    return json;
}

Json json_of(const ServedExport& served, bool is_volatile) {
    Json offers = Json::object();
    for (const Feature& feature : served.features.all) {
        offers[std::string(feature.name)] = {{"offered", feature.offered}, {"why", feature.why}};
    }
    return {{"name", served.name},
            {"device", served.device},
            {"size_bytes", served.size_bytes},
            {"read_only", served.read_only},
            {"volatile", is_volatile},
            {"description", served.description},
            {"connections", served.connections},
            {"offers", std::move(offers)},
            {"map_stores", served.features.stores}};
}

Json json_of(const ClientInfo& client) {
    return {{"id", client.id},
            {"peer", client.peer},
            {"export", client.export_name ? Json(*client.export_name) : Json()},
            {"in_flight", client.in_flight},
            {"closing", client.closing}};
}

Json json_of(std::span<const HealthPart> parts) {
    Json json = Json::array();
    for (const HealthPart& part : parts) {
        json.push_back({{"name", part.name}, {"good", part.good}, {"detail", part.detail}});
    }
    return json;
}

Json json_of_table(std::string_view text) {
    Json rows = Json::array();
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::uint64_t start = number(take_word(line));
        const std::uint64_t length = number(take_word(line));
        const std::string_view target = take_word(line);
        rows.push_back({{"start", start}, {"length", length}, {"target", target}, {"args", line}});
    }
    return rows;
}

}  // namespace server::control
