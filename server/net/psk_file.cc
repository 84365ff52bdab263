#include "server/net/psk_file.h"

#include <charconv>
#include <optional>

#include "server/limits.h"

namespace server {
namespace {

/// What is wrong with a line; empty: nothing, and its key is in `keys` now.
std::string take_line(std::string_view line, PreSharedKeys& keys) {
    const std::size_t colon = line.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return "is not NAME:KEY";
    const std::string_view name = line.substr(0, colon);
    if (name.size() > limits::psk_name_bytes_max) return "has a name of more than 128 bytes";
    auto key = bytes_of_hex(line.substr(colon + 1));
    if (!key) return "has a key that is not hexadecimal";
    if (key->size() < limits::psk_bytes_min) return "has a key of less than 16 bytes";
    if (key->size() > limits::psk_bytes_max) return "has a key of more than 64 bytes";
    if (!keys.emplace(name, std::move(*key)).second) return "has a name that is there already";
    return {};
}

}  // namespace

std::optional<std::vector<unsigned char>> bytes_of_hex(std::string_view text) {
    std::vector<unsigned char> bytes;
    bytes.reserve(text.size() / 2);  // So that no part of it is left where it grew.
    for (std::size_t at = 0; at < text.size(); at += 2) {
        unsigned char byte = 0;
        const char* end = text.data() + std::min(at + 2, text.size());
        const auto [stopped, error] = std::from_chars(text.data() + at, end, byte, 16);
        if (error != std::errc() || stopped != text.data() + at + 2) return std::nullopt;
        bytes.push_back(byte);
    }
    return bytes;
}

tl::expected<PreSharedKeys, std::string> parse_psk_file(std::string_view text) {
    PreSharedKeys keys;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() || line.starts_with('#')) continue;
        const std::string wrong = take_line(line, keys);
        if (!wrong.empty()) {
            return tl::unexpected("line " + std::to_string(number) + ' ' + wrong);
        }
    }
    if (keys.empty()) return tl::unexpected(std::string("it has no keys"));
    return keys;
}

}  // namespace server
