#pragma once

#include <string_view>

#include "config/spec.h"
#include "config/values.h"

namespace config {

/// An address to listen on: `tcp://HOST:PORT` or `unix:PATH`. Its position is the caller's to set.
Value<ListenSpec> parse_listen(std::string_view text);

}  // namespace config
