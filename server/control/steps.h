#pragma once

#include "server/control/message.h"
#include "server/live.h"

/// What the control API changes of one device: POST /v1/devices/D/STEP. Each reads its body, which
/// must be a JSON object of known keys, and answers with the device as it is afterwards, or with
/// what a target said. Throws StepError, BadTable, dmcore::TableError and Refused.
namespace server::control {

/// A request that was answered before anything was done.
struct Refused {
    Response answer;
};

Response suspend_device(Live& live, const std::string& device, const Request& request);
Response resume_device(Live& live, const std::string& device, const Request& request);
Response load_device(Live& live, const std::string& device, const Request& request);
Response clear_device(Live& live, const std::string& device, const Request& request);
Response message_device(Live& live, const std::string& device, const Request& request);

/// A table that was not loaded, as problem+json: the first error, all of them as `errors`, and as
/// `report` the text for people.
Response problem(const BadTable& bad);
/// A message that was refused.
Response problem(const dmcore::TableError& error);

}  // namespace server::control
