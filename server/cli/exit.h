#pragma once

#include <stdexcept>
#include <string>

namespace server::cli {

/// Exit codes (user-experience 1).
namespace exits {
inline constexpr int done = 0;
inline constexpr int failed = 1;
inline constexpr int usage = 2;
inline constexpr int no_server = 3;
inline constexpr int no_such = 4;
inline constexpr int in_use = 5;
inline constexpr int changes = 10;
inline constexpr int timed_out = 124;
}  // namespace exits

/// Ends a verb. The message says what is wrong, the help what to do about it; it may be empty.
struct Failure : std::runtime_error {
    Failure(int code_, const std::string& message, std::string help_ = {})
        : std::runtime_error(message), code(code_), help(std::move(help_)) {}

    int code;
    std::string help;
    std::string report{};  // Diagnostics of a table, which say all of it; empty: there are none.
};

}  // namespace server::cli
