#include "server/control/routes.h"

#include <optional>

#include "server/control/config_api.h"
#include "server/control/look.h"
#include "server/control/steps.h"

namespace server::control {
namespace {

constexpr Route all_routes[] = {
    {"GET", "/livez", livez},
    {"GET", "/readyz", readyz},
    {"GET", "/startupz", startupz},
    {"GET", "/metrics", metrics},
    {"GET", "/v1/devices", list_devices},
    {"GET", "/v1/stores", list_stores},
    {"GET", "/v1/exports", list_exports},
    {"GET", "/v1/clients", list_clients},
    {"DELETE", "/v1/clients/{client}", drop_client, Thread::of_change},
    {"GET", "/v1/events", follow_events},
    {"GET", "/v1/openapi.json", openapi},
    {"GET", "/v1/devices/{device}", device_info},
    {"GET", "/v1/devices/{device}/table", device_table},
    {"GET", "/v1/devices/{device}/status", device_status},
    {"GET", "/v1/devices/{device}/stats", device_stats},
    {"GET", "/v1/devices/{device}/deps", device_deps},
    {"GET", "/v1/devices/{device}/wait", device_wait, Thread::of_wait},
    {"POST", "/v1/devices/{device}/suspend", suspend_device, Thread::of_wait},
    {"POST", "/v1/devices/{device}/resume", resume_device, Thread::of_change},
    {"POST", "/v1/devices/{device}/load", load_device, Thread::of_change, limits::table_bytes_max},
    {"POST", "/v1/devices/{device}/clear", clear_device, Thread::of_change},
    {"POST", "/v1/devices/{device}/message", message_device, Thread::of_change},
    {"GET", "/v1/config", live_config},
    {"POST", "/v1/config/check", check_config, Thread::of_change, limits::table_bytes_max},
    {"POST", "/v1/config/plan", plan_config, Thread::of_change, limits::table_bytes_max},
    {"POST", "/v1/config/apply", apply_config, Thread::of_change, limits::table_bytes_max},
};

/// What stands in `path` for the {...} of `pattern`; nothing: it is another path.
std::optional<std::string_view> match(std::string_view pattern, std::string_view path) {
    const std::size_t open = pattern.find('{');
    if (open == std::string_view::npos) {
        if (path == pattern) return std::string_view();
        return std::nullopt;
    }
    const std::string_view before = pattern.substr(0, open);
    const std::string_view after = pattern.substr(pattern.find('}') + 1);
    if (path.size() < before.size() + after.size()) return std::nullopt;
    if (!path.starts_with(before) || !path.ends_with(after)) return std::nullopt;
    path.remove_prefix(before.size());
    path.remove_suffix(after.size());
    if (path.find('/') != std::string_view::npos) return std::nullopt;
    return path;
}

}  // namespace

std::span<const Route> routes() noexcept {
    return all_routes;
}

FoundRoute find_route(std::string_view method, std::string_view path) {
    FoundRoute found;
    for (const Route& route : all_routes) {
        const auto name = match(route.path, path);
        if (!name) continue;
        if (route.method == method || (route.method == "GET" && method == "HEAD")) {
            return {&route, {}, std::string(*name)};
        }
        found.allow += found.allow.empty() ? "" : ", ";
        found.allow += route.method == "GET" ? "GET, HEAD" : route.method;
    }
    return found;
}

}  // namespace server::control
