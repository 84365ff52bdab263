#include "config/diagnostic.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <tuple>

#include "config/encoding.h"

namespace config {
namespace {

constexpr std::size_t quoted_bytes_max = 60;
constexpr std::size_t message_bytes_max = 500;
constexpr std::size_t path_bytes_max = 4096;

/// `text` cut to at most `bytes`, never inside a UTF-8 character.
std::string_view cut(std::string_view text, std::size_t bytes) {
    if (text.size() <= bytes) return text;
    while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
    return text.substr(0, bytes);
}

std::string escaped(std::string_view text, std::size_t bytes_max) {
    const std::string_view kept = cut(text, bytes_max);
    std::string result;
    for (std::size_t at = 0; at < kept.size();) {
        const std::size_t count = character_bytes(kept.substr(at));
        if (count > 0 && !begins_with_control(kept.substr(at))) {
            result += kept.substr(at, count);
            at += count;
            continue;
        }
        for (std::size_t end = at + std::max<std::size_t>(1, count); at < end; ++at) {
            std::array<char, 5> hex{};
            std::snprintf(hex.data(), hex.size(), "\\x%02x", static_cast<unsigned char>(kept[at]));
            result += hex.data();
        }
    }
    return kept.size() < text.size() ? result + "..." : result;
}

}  // namespace

std::string in_quotes(std::string_view text) {
    return "'" + escaped(text, quoted_bytes_max) + "'";
}

std::string export_subject(std::string_view name) {
    return name.empty() ? "the default export" : "export " + in_quotes(name);
}

void Diagnostics::add(Severity severity, const Position& at, Report report) {
    if (severity == Severity::warning) ++warnings_;
    if (severity == Severity::error && ++errors_ > errors_max) return;
    Diagnostic& one = all_.emplace_back();
    one.severity = severity;
    one.slug = std::move(report.slug);
    one.message = escaped(report.message, message_bytes_max);
    one.label = escaped(report.label, message_bytes_max);
    one.help = escaped(report.help, message_bytes_max);
    if (at.source == nullptr) return;
    one.file = escaped(at.source->name(), path_bytes_max);
    one.line = at.line;
    one.column = at.column;
    one.length = at.length;
    one.excerpt = at.source->line(at.line);
    const bool above_helps = report.above.source == at.source && report.above.line < at.line;
    if (above_helps && report.above.written()) {
        one.above_line = report.above.line;
        one.above = at.source->line(report.above.line);
    }
}

void Diagnostics::sort() {
    std::vector<std::string> files;  // In the order of their first report.
    const auto index = [&](const std::string& file) {
        return std::find(files.begin(), files.end(), file) - files.begin();
    };
    for (const Diagnostic& one : all_) {
        if (index(one.file) == std::ssize(files)) files.push_back(one.file);
    }
    std::stable_sort(all_.begin(), all_.end(), [&](const Diagnostic& a, const Diagnostic& b) {
        return std::tuple(a.severity, index(a.file), a.line, a.column) <
               std::tuple(b.severity, index(b.file), b.line, b.column);
    });
}

}  // namespace config
