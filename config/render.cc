#include <algorithm>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "config/diagnostic.h"
#include "config/encoding.h"

namespace config {
namespace {

constexpr std::size_t columns_max =
    120;  // Of a line of the file; a longer one is cut on both sides.
constexpr std::size_t columns_before = 60;

std::string_view name_of(Severity severity) {
    switch (severity) {
        case Severity::error: return "error";
        case Severity::warning: return "warning";
        case Severity::note: return "note";
    }
    return {};
}

bool continues(char letter) {
    return (static_cast<unsigned char>(letter) & 0xc0) == 0x80;
}

/// One mark for each character that can't be shown as it is; its bytes stay as many as they were.
std::string printable(std::string_view text) {
    std::string result(text);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t count = character_bytes(text.substr(at));
        if (text[at] == '\t')
            result[at] = ' ';
        else if (count == 0)
            result[at] = '?';
        else if (begins_with_control(text.substr(at)))
            result.replace(at, count, count, '?');
        at += std::max<std::size_t>(1, count);
    }
    return result;
}

std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char letter) { return !continues(letter); }));
}

std::string number_column(std::size_t digits, std::uint32_t line) {
    std::string text = line == 0 ? std::string() : std::to_string(line);
    text.append(digits - text.size(), ' ');
    return text + " |";
}

/// The part of a line that is shown, and where the mark is in it.
struct Window {
    std::string text;
    std::size_t mark = 0;  // Offset.
    std::size_t mark_bytes = 0;
};

Window window(std::string_view line, std::size_t column, std::size_t length) {
    std::size_t mark = std::min(column == 0 ? 0 : column - 1, line.size());
    std::size_t begin = 0;
    if (line.size() > columns_max && mark > columns_before) begin = mark - columns_before;
    while (begin > 0 && continues(line[begin])) --begin;
    std::size_t end = std::min(line.size(), begin + columns_max);
    while (end < line.size() && continues(line[end])) ++end;
    const std::string front = begin > 0 ? "..." : "";
    Window shown{front + printable(line.substr(begin, end - begin)), mark - begin + front.size(),
                 std::min(std::max<std::size_t>(length, 1), end - mark)};
    if (end < line.size()) shown.text += "...";
    return shown;
}

std::string excerpt(const Diagnostic& one, std::size_t digits) {
    std::string text = number_column(digits, 0) + "\n";
    if (one.above_line != 0) {
        text += number_column(digits, one.above_line) + ' ' + window(one.above, 0, 0).text + "\n";
        if (one.above_line + 1 < one.line) text += "...\n";
    }
    const Window shown = window(one.excerpt, one.column, one.length);
    text += number_column(digits, one.line) + ' ' + shown.text + "\n";
    const std::string_view all = shown.text;
    text += number_column(digits, 0) + ' ' + std::string(width(all.substr(0, shown.mark)), ' ');
    text.append(std::max<std::size_t>(1, width(all.substr(shown.mark, shown.mark_bytes))), '^');
    return text + (one.label.empty() ? "\n" : " " + one.label + "\n");
}

std::string place(const Diagnostic& one) {
    if (one.line == 0) return one.file;
    return one.file + ':' + std::to_string(one.line) + ':' + std::to_string(one.column);
}

std::string block(const Diagnostic& one) {
    const std::size_t digits = std::max<std::size_t>(2, std::to_string(one.line).size());
    std::string text(name_of(one.severity));
    text += '[' + one.slug + "]: " + one.message + "\n";
    if (!one.file.empty()) text += "  --> " + place(one) + "\n";
    if (one.line != 0) text += excerpt(one, digits);
    if (!one.help.empty()) text += std::string(digits + 1, ' ') + "= help: " + one.help + "\n";
    return text;
}

std::string not_shown(std::size_t errors) {
    if (errors <= Diagnostics::errors_max) return {};
    const std::size_t rest = errors - Diagnostics::errors_max;
    return "and " + std::to_string(rest) + (rest == 1 ? " more error\n" : " more errors\n");
}

}  // namespace

std::string Diagnostics::human() const {
    std::string text;
    for (const Diagnostic& one : all_) text += (text.empty() ? "" : "\n") + block(one);
    return errors_ > errors_max ? text + "\n" + not_shown(errors_) : text;
}

std::string Diagnostics::brief() const {
    std::string text;
    for (const Diagnostic& one : all_) {
        text += place(one) + (one.file.empty() ? "" : ": ") + std::string(name_of(one.severity)) +
                ": " + one.message + " [" + one.slug + "]\n";
    }
    return text + not_shown(errors_);
}

std::string Diagnostics::json() const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Diagnostic& one : all_) {
        nlohmann::ordered_json object = {
            {"severity", name_of(one.severity)}, {"slug", one.slug}, {"message", one.message}};
        if (!one.file.empty()) object["file"] = one.file;
        if (one.line != 0) {
            object["line"] = one.line;
            object["column"] = one.column;
            object["length"] = one.length;
        }
        if (!one.label.empty()) object["label"] = one.label;
        if (!one.help.empty()) object["help"] = one.help;
        list.push_back(std::move(object));
    }
    using Json = nlohmann::ordered_json;
    return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace config
