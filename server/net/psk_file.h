#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace server {

/// Keys that clients share with the server, by the name that they give.
using PreSharedKeys = std::map<std::string, std::vector<unsigned char>, std::less<>>;

/// Reads a file as psktool(1) writes it, and GnuTLS, qemu and nbdkit read it: `name:hex` a line.
/// Empty lines and those that begin with # are skipped. An error names the line, and no key.
tl::expected<PreSharedKeys, std::string> parse_psk_file(std::string_view text);

}  // namespace server
