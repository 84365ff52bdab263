#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace config {

/// One table file as it was read. Kept as long as anything that was loaded from it, so that a later
/// error can show the line. Constant after construction.
class Source {
  public:
    /// `name` is what the user called the file; it stands in front of every message about it.
    Source(std::string name, std::string text);

    const std::string& name() const noexcept { return name_; }
    const std::string& text() const noexcept { return text_; }
    std::size_t line_count() const noexcept { return starts_.size(); }

    /// Line `number`, from 1, without its end; empty for a line that is not there.
    std::string_view line(std::size_t number) const noexcept;

    /// Offset in text() of a line and column, both from 1; at most text().size().
    std::size_t offset(std::size_t line, std::size_t column) const noexcept;

  private:
    std::string name_;
    std::string text_;
    std::vector<std::uint32_t> starts_;  // Of the lines. Files are far below 4 GiB.
};

/// A place in a table file. Where a thing was written is no part of what it is: any two positions
/// are equal, so that specs compare by what they say.
struct Position {
    const Source* source = nullptr;  // Borrowed from the Spec or the Document; null: no file.
    std::uint32_t line = 0;          // From 1; 0: the file as a whole, or not written at all.
    std::uint32_t column = 0;        // From 1, in bytes.
    std::uint32_t length = 0;        // Bytes from there on, within the line.

    bool written() const noexcept { return line != 0; }
    friend bool operator==(const Position&, const Position&) noexcept { return true; }
};

}  // namespace config
