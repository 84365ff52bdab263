#include "server/control/exposition.h"

#include <charconv>

namespace server::control {
namespace {

std::string escaped(std::string_view text) {
    std::string out;
    for (const char letter : text) {
        if (letter == '\\' || letter == '"') out += '\\';
        if (letter == '\n') {
            out += "\\n";
        } else {
            out += letter;
        }
    }
    return out;
}

/// The shortest text that reads back as the same number: 0.1, 1048576, 9e-07.
std::string number_text(double value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value);
    return {text, end.ptr};
}

/// Bounds are compared as text: 0.0001, as other programs write it.
std::string bound_text(double value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed);
    return {text, end.ptr};
}

}  // namespace

void Exposition::begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
    text_.append(name).append(" ").append(type).append("\n");
}

void Exposition::put(const Labels& labels, double value, std::string_view suffix) {
    text_.append(name_).append(suffix);
    char separator = '{';
    for (const auto& [label, content] : labels) {
        text_ += separator;
        text_.append(label).append("=\"").append(escaped(content)).append("\"");
        separator = ',';
    }
    text_.append(labels.empty() ? " " : "} ").append(number_text(value)).append("\n");
}

void Exposition::put(const Labels& labels, const nbd::Durations& durations) {
    Labels with_bound = labels;
    with_bound.emplace_back("le", "");
    std::uint64_t up_to_here = 0;
    for (std::size_t i = 0; i < durations.counts.size(); ++i) {
        up_to_here += durations.counts[i];
        const bool last = i == durations.bounds.size();
        with_bound.back().second = last ? "+Inf" : bound_text(in_seconds(durations.bounds[i]));
        put(with_bound, static_cast<double>(up_to_here), "_bucket");
    }
    put(labels, in_seconds(durations.sum), "_sum");
    put(labels, static_cast<double>(up_to_here), "_count");
}

}  // namespace server::control
