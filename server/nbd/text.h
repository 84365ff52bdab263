#pragma once

#include <string>
#include <string_view>

namespace server::nbd {

/// Whether `text` is what the protocol calls a string: valid UTF-8 without NUL. Its length is not
/// judged.
bool is_protocol_string(std::string_view text) noexcept;

/// `text` in double quotes as printable ASCII: other bytes as \xNN, and cut to quoted_bytes_max.
/// For error texts and logs, where a client's bytes must neither flood nor steer a terminal.
std::string in_quotes(std::string_view text);

}  // namespace server::nbd
