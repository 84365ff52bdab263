#include "server/nbd/text.h"

#include <cstddef>
#include <cstdint>

#include "server/nbd/limits.h"

namespace server::nbd {
namespace {

/// Bytes of the UTF-8 sequence that `lead` opens, or 0 if it opens none.
std::size_t sequence_bytes(std::uint8_t lead) noexcept {
    if (lead < 0x80) return 1;
    if (lead < 0xc2) return 0;  // A continuation byte, or an over-long form of ASCII.
    if (lead < 0xe0) return 2;
    if (lead < 0xf0) return 3;
    return lead < 0xf5 ? 4 : 0;
}

/// Of the code points that the lead byte leaves open, excludes over-long forms, surrogates and
/// what lies beyond U+10FFFF; the second byte alone decides.
bool second_byte_fits(std::uint8_t lead, std::uint8_t second) noexcept {
    switch (lead) {
        case 0xe0: return second >= 0xa0;
        case 0xed: return second < 0xa0;
        case 0xf0: return second >= 0x90;
        case 0xf4: return second < 0x90;
        default: return true;
    }
}

}  // namespace

bool is_protocol_string(std::string_view text) noexcept {
    while (!text.empty()) {
        const auto lead = static_cast<std::uint8_t>(text.front());
        const std::size_t count = sequence_bytes(lead);
        if (lead == 0 || count == 0 || count > text.size()) return false;
        if (count > 1 && !second_byte_fits(lead, static_cast<std::uint8_t>(text[1]))) return false;
        for (const char byte : text.substr(1, count - 1)) {
            if ((static_cast<std::uint8_t>(byte) & 0xc0) != 0x80) return false;
        }
        text.remove_prefix(count);
    }
    return true;
}

std::string in_quotes(std::string_view text) {
    static constexpr char hex_digits[] = "0123456789abcdef";
    std::string result = "\"";
    for (const char byte : text.substr(0, quoted_bytes_max)) {
        if (byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\') {
            result += byte;
            continue;
        }
        const auto value = static_cast<std::uint8_t>(byte);
        result += {'\\', 'x', hex_digits[value >> 4], hex_digits[value & 0xf]};
    }
    return result + (text.size() > quoted_bytes_max ? "...\"" : "\"");
}

}  // namespace server::nbd
