#include "server/control/look.h"

#include <algorithm>
#include <set>

#include "config/closest.h"
#include "config/diagnostic.h"
#include "config/values.h"
#include "server/control/json.h"
#include "server/control/limits.h"
#include "server/control/metrics.h"
#include "server/control/openapi.h"

namespace server::control {
namespace {

Response json_answer(const Json& body) {
    return {.body = dump(body)};
}

Response text_answer(std::string body) {
    return {.type = "text/plain; charset=utf-8", .body = std::move(body)};
}

[[noreturn]] void no_such_device(const std::string& name) {
    throw StepError(StepError::Kind::no_such_device, "no-such-device",
                    "there is no device " + config::in_quotes(name));
}

/// 200 while all parts are good. The parts are listed when asked for, or when one is not.
Response health(const Request& request, const char* slug, const char* title,
                const std::vector<HealthPart>& parts) {
    const bool good = std::ranges::all_of(parts, &HealthPart::good);
    Json body = Json::object();
    if (!good) body = {{"type", slug}, {"title", title}, {"status", 503}};
    body["good"] = good;
    if (!good || request.query.contains("verbose")) body["parts"] = json_of(parts);
    if (good) return json_answer(body);
    return {.status = 503, .type = "application/problem+json", .body = dump(body)};
}

/// Names of all devices that have a memory store somewhere below.
std::set<std::string> volatile_names(Live& live) {
    std::set<std::string> names;
    for (const StoreInfo& store : live.stores()) {
        if (store.type == "memory") names.insert(store.name);
    }
    const std::vector<DeviceInfo> devices = live.devices();
    for (bool changed = true; changed;) {
        changed = false;
        for (const DeviceInfo& device : devices) {
            const bool found = std::ranges::any_of(
                device.below, [&](const std::string& below) { return names.contains(below); });
            if (found && names.insert(device.name).second) changed = true;
        }
    }
    return names;
}

/// The value of `key`, one of `known`; the first of those if it is not given.
std::string choice(const Request& request, const std::string& key,
                   std::span<const std::string_view> known) {
    const auto asked = request.query.find(key);
    if (asked == request.query.end()) return std::string(known.front());
    if (std::ranges::find(known, asked->second) != known.end()) return asked->second;
    const std::string meant = config::did_you_mean(asked->second, known);
    std::string all;
    for (const std::string_view each : known)
        all += (all.empty() ? "" : " or ") + std::string(each);
    throw Refused{problem(400, "bad-" + key,
                          "there is no " + key + " " + config::in_quotes(asked->second),
                          meant.empty() ? key + " is " + all : meant)};
}

Slot slot(const Request& request) {
    return request.query.contains("inactive") ? Slot::inactive : Slot::live;
}

DeviceInfo device_of(const Asked& asked) {
    for (DeviceInfo& device : asked.live.devices()) {
        if (device.name == asked.name) return std::move(device);
    }
    no_such_device(asked.name);
}

/// A value of the query, as `parse` reads it.
template <class Parse>
auto query_value(const Request& request, const std::string& key, Parse parse) {
    const auto given = request.query.find(key);
    auto value = parse(given == request.query.end() ? std::string() : given->second);
    if (!value) {
        throw Refused{
            problem(400, "bad-" + key, key + ": " + value.error().message, value.error().help)};
    }
    return *value;
}

}  // namespace

Response livez(const Asked& asked) {
    return health(asked.request, "not-live", "a shard does not answer", asked.live.live_health());
}

Response readyz(const Asked& asked) {
    return health(asked.request, "not-ready", "not ready to serve", asked.live.ready_health());
}

Response startupz(const Asked& asked) {
    return health(asked.request, "not-started", "still starting", asked.live.startup_health());
}

Response metrics(const Asked& asked) {
    return {.type = "text/plain; version=0.0.4; charset=utf-8",
            .body = metrics_text(asked.live, asked.config)};
}

Response list_devices(const Asked& asked) {
    Json list = Json::array();
    for (const DeviceInfo& device : asked.live.devices()) list.push_back(json_of(device));
    return json_answer({{"devices", std::move(list)}});
}

Response list_stores(const Asked& asked) {
    Json list = Json::array();
    for (const StoreInfo& store : asked.live.stores()) list.push_back(json_of(store));
    return json_answer({{"stores", std::move(list)}});
}

Response list_exports(const Asked& asked) {
    const std::set<std::string> lost_at_exit = volatile_names(asked.live);
    Json list = Json::array();
    for (const ServedExport& served : asked.live.exports()) {
        list.push_back(json_of(served, lost_at_exit.contains(served.device)));
    }
    return json_answer({{"exports", std::move(list)}, {"uris", asked.live.listening()}});
}

Response list_clients(const Asked& asked) {
    Json list = Json::array();
    for (const ClientInfo& client : asked.live.clients()) list.push_back(json_of(client));
    return json_answer({{"clients", std::move(list)}});
}

Response follow_events(const Asked& asked) {
    if (asked.request.method == "HEAD") return {.type = "text/event-stream"};
    auto reader = asked.live.feed().listen();
    if (reader == nullptr) {
        return problem(503, "too-many-listeners",
                       "as many listen to the events as may, or the server is stopping",
                       "at most " + std::to_string(EventFeed::readers_max) + " at a time");
    }
    return {.type = "text/event-stream", .events = std::move(reader)};
}

Response openapi(const Asked&) {
    return {.body = std::string(openapi_text)};
}

Response device_info(const Asked& asked) {
    return json_answer(json_of(device_of(asked)));
}

Response device_table(const Asked& asked) {
    static constexpr std::string_view formats[] = {"dm", "json", "yaml"};
    const std::string format = choice(asked.request, "format", formats);
    if (format == "yaml") {
        auto yaml = asked.live.table_yaml(asked.name);
        if (!yaml) no_such_device(asked.name);
        return {.type = "application/yaml", .body = std::move(*yaml)};
    }
    const bool dm = format == "dm";
    const auto form = dm ? dmcore::TextForm::dm : dmcore::TextForm::full;
    const auto text = asked.live.table_text(asked.name, form, slot(asked.request));
    if (!text) no_such_device(asked.name);
    return dm ? text_answer(*text) : json_answer({{"table", json_of_table(*text)}});
}

Response device_status(const Asked& asked) {
    const auto text = asked.live.status_text(asked.name, slot(asked.request));
    if (!text) no_such_device(asked.name);
    return text_answer(*text);
}

Response device_stats(const Asked& asked) {
    static constexpr std::string_view formats[] = {"json", "sysfs"};
    const std::string format = choice(asked.request, "format", formats);
    const DeviceInfo device = device_of(asked);
    return format == "sysfs" ? text_answer(dmcore::sysfs_stat(device.stats) + "\n")
                             : json_answer(json_of(device.stats));
}

/// By name, in the order of the table.
Response device_deps(const Asked& asked) {
    const DeviceInfo device = device_of(asked);
    const bool inactive = slot(asked.request) == Slot::inactive;
    return json_answer({{"deps", inactive ? device.inactive_below : device.below}});
}

Response device_wait(const Asked& asked) {
    const std::uint64_t seen = query_value(asked.request, "event", [](const std::string& word) {
        return config::parse_count(word, UINT64_MAX);
    });
    std::chrono::nanoseconds time = limits::wait_time_max;
    if (asked.request.query.contains("timeout")) {
        time = std::min<std::chrono::nanoseconds>(
            time, query_value(asked.request, "timeout", config::parse_duration));
    }
    const auto until = std::chrono::steady_clock::now() + time;
    return json_answer({{"event_number", asked.live.wait_event(asked.name, seen, until)}});
}

}  // namespace server::control
