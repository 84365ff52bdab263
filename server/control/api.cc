#include "server/control/api.h"

#include <algorithm>
#include <exception>
#include <set>

#include "config/closest.h"
#include "config/diagnostic.h"
#include "config/values.h"
#include "server/control/config_api.h"
#include "server/control/json.h"
#include "server/control/limits.h"
#include "server/control/steps.h"

namespace server::control {
namespace {

constexpr std::string_view problem_type = "application/problem+json";
constexpr std::string_view devices_path = "/v1/devices/";
constexpr std::string_view clients_path = "/v1/clients/";
constexpr std::string_view config_path = "/v1/config";

Response json_answer(const Json& body) {
    return {.body = dump(body)};
}

Response text_answer(std::string body) {
    return {.type = "text/plain; charset=utf-8", .body = std::move(body)};
}

Json problem_body(unsigned status, const std::string& slug, const std::string& title,
                  const std::string& detail) {
    Json body = {{"type", slug}, {"title", title}, {"status", status}};
    if (!detail.empty()) body["detail"] = detail;
    return body;
}

/// `known` are the names that there are, for the closest match.
Response no_such(const std::string& kind, const std::string& name,
                 const std::vector<std::string_view>& known) {
    return problem(404, "no-such-" + kind, "there is no " + kind + " " + config::quoted(name),
                   config::did_you_mean(name, known));
}

Response no_such_device(Live& live, const std::string& name) {
    const std::vector<DeviceInfo> devices = live.devices();
    std::vector<std::string_view> names;
    names.reserve(devices.size());
    for (const DeviceInfo& device : devices) names.push_back(device.name);
    return no_such("device", name, names);
}

Response list_devices(Live& live, const Request&) {
    Json list = Json::array();
    for (const DeviceInfo& device : live.devices()) list.push_back(json_of(device));
    return json_answer({{"devices", std::move(list)}});
}

Response list_stores(Live& live, const Request&) {
    Json list = Json::array();
    for (const StoreInfo& store : live.stores()) list.push_back(json_of(store));
    return json_answer({{"stores", std::move(list)}});
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

Response list_exports(Live& live, const Request&) {
    const std::set<std::string> lost_at_exit = volatile_names(live);
    Json list = Json::array();
    for (const ServedExport& served : live.exports()) {
        list.push_back(json_of(served, lost_at_exit.contains(served.device)));
    }
    return json_answer({{"exports", std::move(list)}});
}

Response list_clients(Live& live, const Request&) {
    Json list = Json::array();
    for (const ClientInfo& client : live.clients()) list.push_back(json_of(client));
    return json_answer({{"clients", std::move(list)}});
}

/// /v1/clients/C
Response drop_client(Live& live, const Request& request) {
    const std::string word = request.path.substr(clients_path.size());
    const auto id = config::parse_count(word, UINT64_MAX);
    if (id && live.drop_client(*id)) return json_answer({{"dropped", *id}});
    return problem(404, "no-such-client", "there is no client " + config::quoted(word));
}

/// 200 while all parts are good. The parts are listed when asked for, or when one is not.
Response health(const Request& request, const std::string& slug, const std::string& title,
                const std::vector<HealthPart>& parts) {
    const bool good = std::ranges::all_of(parts, &HealthPart::good);
    Json body = good ? Json::object() : problem_body(503, slug, title, {});
    body["good"] = good;
    if (!good || request.query.contains("verbose")) body["parts"] = json_of(parts);
    if (good) return json_answer(body);
    return {.status = 503, .type = std::string(problem_type), .body = dump(body)};
}

Response livez(Live& live, const Request& request) {
    return health(request, "not-live", "a shard does not answer", live.live_health());
}

Response readyz(Live& live, const Request& request) {
    return health(request, "not-ready", "not ready to serve", live.ready_health());
}

Response startupz(Live& live, const Request& request) {
    return health(request, "not-started", "still starting", live.startup_health());
}

Response device_info(Live& live, const std::string& name, const Request&) {
    for (const DeviceInfo& device : live.devices()) {
        if (device.name == name) return json_answer(json_of(device));
    }
    return no_such_device(live, name);
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
                          "there is no " + key + " " + config::quoted(asked->second),
                          meant.empty() ? key + " is " + all : meant)};
}

Slot slot(const Request& request) {
    return request.query.contains("inactive") ? Slot::inactive : Slot::live;
}

Response device_stats(Live& live, const std::string& name, const Request& request) {
    static constexpr std::string_view formats[] = {"json", "sysfs"};
    const std::string format = choice(request, "format", formats);
    for (const DeviceInfo& device : live.devices()) {
        if (device.name != name) continue;
        return format == "sysfs" ? text_answer(dmcore::sysfs_stat(device.stats) + "\n")
                                 : json_answer(json_of(device.stats));
    }
    return no_such_device(live, name);
}

Response device_table(Live& live, const std::string& name, const Request& request) {
    static constexpr std::string_view formats[] = {"dm", "json", "yaml"};
    const std::string format = choice(request, "format", formats);
    if (format == "yaml") {
        auto yaml = live.table_yaml(name);
        return yaml ? Response{.type = "application/yaml", .body = std::move(*yaml)}
                    : no_such_device(live, name);
    }
    const bool dm = format == "dm";
    const auto form = dm ? dmcore::TextForm::dm : dmcore::TextForm::full;
    const auto text = live.table_text(name, form, slot(request));
    if (!text) return no_such_device(live, name);
    return dm ? text_answer(*text) : json_answer({{"table", json_of_table(*text)}});
}

Response device_status(Live& live, const std::string& name, const Request& request) {
    const auto text = live.status_text(name, slot(request));
    return text ? text_answer(*text) : no_such_device(live, name);
}

/// By name, in the order of the table.
Response device_deps(Live& live, const std::string& name, const Request& request) {
    for (const DeviceInfo& device : live.devices()) {
        if (device.name != name) continue;
        const bool inactive = slot(request) == Slot::inactive;
        return json_answer({{"deps", inactive ? device.inactive_below : device.below}});
    }
    return no_such_device(live, name);
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

/// `?event=N&timeout=5s`: answers with the event number once it is not N any more, or after a while
/// with N; ask again then.
Response device_wait(Live& live, const std::string& name, const Request& request) {
    const std::uint64_t seen = query_value(request, "event", [](const std::string& word) {
        return config::parse_count(word, UINT64_MAX);
    });
    std::chrono::nanoseconds time = limits::wait_time_max;
    if (request.query.contains("timeout")) {
        time = std::min<std::chrono::nanoseconds>(
            time, query_value(request, "timeout", config::parse_duration));
    }
    const auto until = std::chrono::steady_clock::now() + time;
    return json_answer({{"event_number", live.wait_event(name, seen, until)}});
}

struct Route {
    std::string_view path;
    Response (*answer)(Live&, const Request&);
};
constexpr Route routes[] = {
    {"/v1/devices", list_devices}, {"/v1/stores", list_stores}, {"/v1/exports", list_exports},
    {"/v1/clients", list_clients}, {"/livez", livez},           {"/readyz", readyz},
    {"/startupz", startupz},
};

/// What can be asked of one device: /v1/devices/D/PART.
struct DeviceRoute {
    std::string_view method;
    std::string_view part;
    Response (*answer)(Live&, const std::string& device, const Request&);
};
constexpr DeviceRoute device_routes[] = {
    {"GET", "", device_info},
    {"GET", "table", device_table},
    {"GET", "status", device_status},
    {"GET", "stats", device_stats},
    {"GET", "deps", device_deps},
    {"GET", "wait", device_wait},
    {"POST", "suspend", suspend_device},
    {"POST", "resume", resume_device},
    {"POST", "load", load_device},
    {"POST", "clear", clear_device},
    {"POST", "message", message_device},
};

Response no_such_path(const std::string& path) {
    std::vector<std::string_view> known;
    for (const Route& route : routes) known.push_back(route.path);
    return no_such("path", path, known);
}

Response wrong_method(const std::string& method, const std::string& right) {
    Response response = problem(
        405, "wrong-method", "this can't be asked with " + config::quoted(method), "use " + right);
    response.allow = right == "GET" ? "GET, HEAD" : right;
    return response;
}

Response refused_step(Live& live, const std::string& device, const StepError& error) {
    switch (error.kind) {
        case StepError::Kind::no_such_device: return no_such_device(live, device);
        case StepError::Kind::wrong_state:
            return problem(409, error.slug, error.what(), error.help);
        case StepError::Kind::stopping: break;
    }
    return problem(503, error.slug, error.what(), error.help);
}

/// Answers /v1/devices/D and /v1/devices/D/PART.
Response answer_device(Live& live, const Request& request) {
    std::string_view rest = request.path;
    rest.remove_prefix(devices_path.size());
    const std::size_t slash = rest.find('/');
    const std::string device(rest.substr(0, slash));
    const std::string_view part =
        slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    for (const DeviceRoute& route : device_routes) {
        if (route.part != part || (part.empty() && slash != std::string_view::npos)) continue;
        const std::string method = looks(request.method) ? "GET" : request.method;
        if (route.method != method) return wrong_method(request.method, std::string(route.method));
        try {
            return route.answer(live, device, request);
        } catch (const StepError& error) {
            return refused_step(live, device, error);
        }
    }
    return no_such_path(request.path);
}

Response dispatch(Live& live, LiveConfig* config, const Request& request) {
    if (config != nullptr && request.path.starts_with(config_path)) {
        return answer_config(*config, request);
    }
    if (request.path.starts_with(devices_path)) return answer_device(live, request);
    if (request.path.starts_with(clients_path)) {
        return request.method == "DELETE" ? drop_client(live, request)
                                          : wrong_method(request.method, "DELETE");
    }
    for (const Route& route : routes) {
        if (route.path != request.path) continue;
        return looks(request.method) ? route.answer(live, request)
                                     : wrong_method(request.method, "GET");
    }
    return no_such_path(request.path);
}

}  // namespace

Needs needs_of(const std::string& method, const std::string& path) {
    using Thread = Needs::Thread;
    const bool table = path.ends_with("/load") || path.starts_with(config_path);
    const bool waits = path.ends_with("/wait") || path.ends_with("/suspend");
    return {.body_bytes_max = table ? limits::table_bytes_max : limits::body_bytes_max,
            .thread = waits           ? Thread::of_wait
                      : looks(method) ? Thread::shared
                                      : Thread::of_change};
}

Response problem(unsigned status, const std::string& slug, const std::string& title,
                 const std::string& detail) {
    return {.status = status,
            .type = std::string(problem_type),
            .body = dump(problem_body(status, slug, title, detail))};
}

Response Api::answer(const Request& request) noexcept {
    try {
        return dispatch(live_, config_, request);
    } catch (const Refused& refused) {
        return refused.answer;
    } catch (const StepError& error) {  // Of no device: the server is stopping.
        return problem(503, error.slug, error.what(), error.help);
    } catch (const BadTable& bad) {
        return problem(bad);
    } catch (const ReloadError& error) {
        return problem(error);
    } catch (const dmcore::TableError& error) {
        return problem(error);
    } catch (const std::exception& error) {
        return problem(500, "internal", "the server could not answer", error.what());
    }
}

}  // namespace server::control
