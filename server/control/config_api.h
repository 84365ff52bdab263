#pragma once

#include "server/control/asked.h"

/// The table file by the control API: /v1/config and what is below it.
namespace server::control {

/// GET /v1/config: all that is live, as YAML, and its generation as ETag.
Response live_config(const Asked& asked);

// POST /v1/config/... of a table that is sent as YAML, or as JSON, which is YAML, too. They throw
// BadTable, ReloadError and Refused.

Response check_config(const Asked& asked);
Response plan_config(const Asked& asked);
Response apply_config(const Asked& asked);

/// A reload that was not made.
Response problem(const ReloadError& error);

}  // namespace server::control
