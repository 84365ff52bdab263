#pragma once

#include <ostream>
#include <string>
#include <string_view>

namespace server::cli {

enum class Colour { automatic, always, never };

/// Where a verb writes: data to `out`, everything else to `err`. Borrows both.
struct Console {
    std::ostream& out;
    std::ostream& err;
    bool colour_out = false;
    bool colour_err = false;

    /// "dmnbd: error: MESSAGE", and the help on a line of its own.
    void error(std::string_view message, std::string_view help = {});
    void note(std::string_view message);
    /// Diagnostics of a table as people read them.
    void report(std::string_view text);
};

/// Ends a colour, or what else an escape sequence began.
inline constexpr std::string_view colour_end = "\033[0m";

/// Whether to colour what goes to descriptor `fd`. Automatic: on a terminal that is not `dumb`,
/// unless NO_COLOR is set.
bool wants_colour(Colour choice, int fd);

/// Diagnostics as text, with "error[...]" and "warning[...]" in colour.
std::string coloured_diagnostics(std::string_view text);

/// `text` with control characters as \xNN, so that a name can't steer the terminal.
std::string printable(std::string_view text);
/// The same of several lines, which stay lines.
std::string printable_lines(std::string_view text);

}  // namespace server::cli
