#pragma once

#include "server/control/asked.h"

/// What the control API changes of one device: POST /v1/devices/D/STEP. Each reads its body, which
/// must be a JSON object of known keys, and answers with the device as it is afterwards, or with
/// what a target said. Throws StepError, BadTable, dmcore::TableError and Refused.
namespace server::control {

Response suspend_device(const Asked& asked);
Response resume_device(const Asked& asked);
Response load_device(const Asked& asked);
Response clear_device(const Asked& asked);
Response message_device(const Asked& asked);

/// DELETE /v1/clients/C. Returns when nothing of it can reach a store any more.
Response drop_client(const Asked& asked);

/// A table that was not loaded, as problem+json: the first error, all of them as `errors`, and as
/// `report` the text for people.
Response problem(const BadTable& bad);
/// A message that was refused.
Response problem(const dmcore::TableError& error);

}  // namespace server::control
