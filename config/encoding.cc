#include "config/encoding.h"

#include <algorithm>
#include <string_view>

namespace config {
namespace {

Position position_of(const Source& source, std::size_t offset) {
    const std::string_view before = std::string_view(source.text()).substr(0, offset);
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 == 0
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    return {&source, static_cast<std::uint32_t>(line),
            static_cast<std::uint32_t>(offset - line_start + 1), 1};
}

}  // namespace

std::size_t character_bytes(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < count) return 0;
    for (std::size_t i = 1; i < count; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    const unsigned second = byte(1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second >= 0xa0;
    return overlong || surrogate || (first == 0xf4 && second >= 0x90) ? 0 : count;
}

bool begins_with_control(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    if (first != 0xc2 || text.size() < 2) return first < 0x20 || first == 0x7f;
    return static_cast<unsigned char>(text[1]) < 0xa0;  // U+0080 to U+009F.
}

bool check_encoding(const Source& source, Diagnostics& found) {
    const std::string_view text = source.text();
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t count = character_bytes(text.substr(at));
        if (count == 0) {
            found.error(
                position_of(source, at),
                {"bad-encoding", "this byte is not UTF-8 text", {}, "save the file as UTF-8"});
            return false;
        }
        const bool layout = text[at] == '\t' || text[at] == '\n' || text[at] == '\r';
        if (!layout && begins_with_control(text.substr(at))) {
            found.error(position_of(source, at),
                        {"bad-encoding",
                         "there is a control character in the file",
                         {},
                         "remove it; in double quotes it can be written like \"\\x1b\""});
            return false;
        }
        at += count;
    }
    return true;
}

}  // namespace config
