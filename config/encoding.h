#pragma once

#include <cstddef>
#include <string_view>

#include "config/diagnostic.h"
#include "config/source.h"

namespace config {

/// Bytes of the UTF-8 character that `text`, which is not empty, begins with; 0 if it begins with
/// none.
std::size_t character_bytes(std::string_view text);

/// `text` begins with a character that commands a terminal instead of being seen on it.
bool begins_with_control(std::string_view text);

/// Reports the first byte that is not UTF-8, or is a control character that text has no use for
/// (the YAML parser takes one of those for the end of the file). True if there is none.
bool check_encoding(const Source& source, Diagnostics& found);

}  // namespace config
