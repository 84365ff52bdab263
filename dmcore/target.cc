#include "dmcore/target.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace dmcore {

std::string Target::message(std::span<const std::string>) {
    throw TableError("no-messages", "this target takes no messages");
}

std::string lower_case(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

const std::string& TargetArgs::word(std::size_t index) const {
    if (index >= words_.size()) fail("argument-count", "arguments are missing");
    return words_[index];
}

std::uint64_t TargetArgs::number(std::size_t index, std::string_view what, std::uint64_t max,
                                 Plus plus) const {
    std::string_view text = word(index);
    if (plus == Plus::allowed && text.starts_with('+')) text.remove_prefix(1);
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    const int place = static_cast<int>(index);
    if (text.empty() || stop != end || error == std::errc::invalid_argument) {
        fail("bad-number", std::string(what) + " must be a whole number, not '" + word(index) + "'",
             place);
    }
    if (error != std::errc{} || value > max) {
        fail("bad-number", std::string(what) + " is at most " + std::to_string(max), place);
    }
    return value;
}

Lower& TargetArgs::device(std::size_t index) const {
    const std::string& name = word(index);
    try {
        return find_(name);
    } catch (TableError& error) {
        error.word = static_cast<int>(index);
        throw;
    }
}

void TargetArgs::fail(std::string slug, std::string message, int word, std::string help) const {
    throw TableError(std::move(slug), std::move(message), word, std::move(help));
}

}  // namespace dmcore
