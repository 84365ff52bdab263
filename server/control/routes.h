#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "server/control/asked.h"
#include "server/control/limits.h"

namespace server::control {

/// Whose thread answers a call.
enum class Thread : std::uint8_t {
    shared,     // Answered at once.
    of_change,  // May take its time.
    of_wait,    // Lasts until something happens, or some change ends it.
};

/// One call of the API. openapi.json describes each of them.
struct Route {
    std::string_view method;  // GET answers HEAD, too.
    std::string_view path;    // One of its parts may be {...}: any text without a slash.
    Response (*answer)(const Asked&);
    Thread thread = Thread::shared;
    std::size_t body_bytes_max = limits::body_bytes_max;
};

/// All there is.
std::span<const Route> routes() noexcept;

struct FoundRoute {
    const Route* route = nullptr;  // Null: none with this method, or...
    std::string allow;             // ...none at all where this is empty: the path's methods.
    std::string name;              // For {...}.
};
FoundRoute find_route(std::string_view method, std::string_view path);

}  // namespace server::control
