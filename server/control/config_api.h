#pragma once

#include "server/control/message.h"
#include "server/live_config.h"

/// The table file by the control API: /v1/config and what is below it.
namespace server::control {

/// Answers a request for the table file. A table is sent as YAML, or as JSON, which is YAML, too.
/// Throws BadTable and Refused.
Response answer_config(LiveConfig& config, const Request& request);

/// A reload that was not made.
Response problem(const ReloadError& error);

}  // namespace server::control
