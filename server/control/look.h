#pragma once

#include "server/control/asked.h"

/// What the control API shows: everything that is asked for with GET, but for the table file.
namespace server::control {

/// Probes: 200 while all parts are good. `?verbose` lists them.
Response livez(const Asked& asked);
Response readyz(const Asked& asked);
Response startupz(const Asked& asked);
Response metrics(const Asked& asked);

Response list_devices(const Asked& asked);
Response list_stores(const Asked& asked);
Response list_exports(const Asked& asked);
Response list_clients(const Asked& asked);
/// What happens from now on, as server-sent events.
Response follow_events(const Asked& asked);
/// The description of this API.
Response openapi(const Asked& asked);

// Of one device. They throw Refused, and StepError if there is none of that name.

Response device_info(const Asked& asked);
Response device_table(const Asked& asked);
Response device_status(const Asked& asked);
Response device_stats(const Asked& asked);
Response device_deps(const Asked& asked);
/// `?event=N&timeout=5s`: answers with the event number once it is not N any more, or after a while
/// with N; ask again then.
Response device_wait(const Asked& asked);

}  // namespace server::control
