#include "config/source.h"

#include <algorithm>

namespace config {

Source::Source(std::string name, std::string text)
    : name_(std::move(name)), text_(std::move(text)) {
    starts_.push_back(0);
    for (std::size_t at = text_.find('\n'); at != std::string::npos;
         at = text_.find('\n', at + 1)) {
        starts_.push_back(static_cast<std::uint32_t>(at + 1));
    }
}

std::string_view Source::line(std::size_t number) const noexcept {
    if (number == 0 || number > starts_.size()) return {};
    const std::size_t begin = starts_[number - 1];
    std::size_t end = number < starts_.size() ? starts_[number] - 1UL : text_.size();
    if (end > begin && text_[end - 1] == '\r') --end;
    return std::string_view(text_).substr(begin, end - begin);
}

std::size_t Source::offset(std::size_t line, std::size_t column) const noexcept {
    if (line == 0 || line > starts_.size()) return text_.size();
    return std::min(starts_[line - 1] + column - 1, text_.size());
}

}  // namespace config
