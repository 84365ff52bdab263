#pragma once

#include <string>

#include "server/control/message.h"
#include "server/live.h"
#include "server/live_config.h"

namespace server::control {

/// A request on its way to whoever answers it. All is borrowed for the length of the answer.
struct Asked {
    Live& live;
    LiveConfig* config;  // Null only where no path of /v1/config is answered.
    const Request& request;
    std::string name;  // What stands in its path where the route has {...}; may be empty.
};

/// A request that was answered before anything was done. Thrown.
struct Refused {
    Response answer;
};

}  // namespace server::control
