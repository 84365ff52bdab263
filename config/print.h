#pragma once

#include <string>

#include "config/spec.h"

namespace config {

/// A table file that loads to `spec` again, in one piece: includes and variables are already in it.
/// What has its default is left out.
std::string yaml_text(const Spec& spec);

/// The part of it under `devices`, of one device.
std::string yaml_text(const DeviceSpec& device);

/// The value of `retry`: "none", or a map.
std::string retry_text(const dmcore::RetryPolicy& retry);

/// The value of `tls` of a store of type nbd; empty: it has none.
std::string remote_tls_text(const RemoteTls& tls);

/// A list of ranges of addresses, each in quotes.
std::string allow_text(const std::vector<Cidr>& ranges);

/// A device's rows as list of segments, each line after `indent`.
std::string segments_text(const std::vector<dmcore::RowSpec>& rows, const std::string& indent);

}  // namespace config
