#pragma once

#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

#include "server/live.h"

/// How the control API writes what Live tells. Keys keep their order, so that people can read it.
namespace server::control {

using Json = nlohmann::ordered_json;

/// Text that is safe to send: bytes that are not UTF-8 are replaced.
std::string dump(const Json& value);

Json json_of(const dmcore::DeviceStats& stats);
/// A device with its counters; `below` has what it stands on, and the parts issued there.
Json json_of(const DeviceInfo& device);
Json json_of(const StoreInfo& store);
/// `is_volatile`: its data ends with the process, because a memory store is below.
Json json_of(const ServedExport& served, bool is_volatile);
/// `export` is null while the client negotiates.
Json json_of(const ClientInfo& client);
Json json_of(std::span<const HealthPart> parts);

/// Rows of dm table text as objects. `args` stays text, which a table file may hold as well.
Json json_of_table(std::string_view text);

}  // namespace server::control
