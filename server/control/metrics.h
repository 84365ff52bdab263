#pragma once

#include <string>

#include "server/control/exposition.h"
#include "server/live.h"
#include "server/live_config.h"

namespace server::control {

/// Everything there is to count (user-experience 6). `config` may be null: then nothing is said of
/// reloads.
std::string metrics_text(Live& live, LiveConfig* config);

/// The families `process_...`.
void put_process_metrics(Exposition& out);

}  // namespace server::control
