#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/source.h"

namespace config {

enum class Severity : std::uint8_t { error, warning, note };

/// One thing to tell the user about a table, complete in itself: it needs no file to be shown.
struct Diagnostic {
    Severity severity = Severity::error;
    std::string slug;          // Stable, for scripts: "table-gap".
    std::string file;          // Empty: of no file.
    std::uint32_t line = 0;    // From 1; 0: the file as a whole.
    std::uint32_t column = 0;  // From 1, in bytes.
    std::uint32_t length = 0;
    std::string message;           // What is wrong, naming the store, device or export.
    std::string label;             // Beside the caret: what was expected. May be empty.
    std::string help;              // The fix. May be empty.
    std::string excerpt;           // The line itself...
    std::uint32_t above_line = 0;  // ...and an earlier one that explains it; 0: none.
    std::string above;
};

/// What one diagnostic says beyond its place.
struct Report {
    std::string slug;
    std::string message;
    std::string label{};
    std::string help{};
    Position above{};  // A line to show above the one marked.
};

/// Everything found in one load. Control characters from the file are
/// escaped and overlong texts cut on the way in.
class Diagnostics {
  public:
    static constexpr std::size_t errors_max = 20;  // Shown; the rest is counted.

    void error(const Position& at, Report report) { add(Severity::error, at, std::move(report)); }
    void warning(const Position& at, Report report) {
        add(Severity::warning, at, std::move(report));
    }
    void note(const Position& at, Report report) { add(Severity::note, at, std::move(report)); }

    /// True until the first error.
    bool ok() const noexcept { return errors_ == 0; }
    std::size_t errors() const noexcept { return errors_; }
    std::size_t warnings() const noexcept { return warnings_; }
    const std::vector<Diagnostic>& all() const noexcept { return all_; }

    /// Errors before warnings before notes, each in the order of the file.
    void sort();

    /// As user-experience 3 shows them: blocks with the line and a caret.
    std::string human() const;
    /// One line each: `file:line:column: error: message [slug]`.
    std::string brief() const;
    /// An array of objects with the fields of Diagnostic, empty ones left out.
    std::string json() const;

  private:
    void add(Severity severity, const Position& at, Report report);

    std::vector<Diagnostic> all_;
    std::size_t errors_ = 0;
    std::size_t warnings_ = 0;
};

/// `text` in single quotes for a message: control characters escaped, cut where it is long.
std::string in_quotes(std::string_view text);

/// How messages speak of an export: "export 'big'", "the default export".
std::string export_subject(std::string_view name);

}  // namespace config
