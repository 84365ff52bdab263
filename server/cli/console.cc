#include "server/cli/console.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace server::cli {
namespace {

constexpr std::string_view red = "\033[1;31m";
constexpr std::string_view yellow = "\033[1;33m";
constexpr std::string_view cyan = "\033[1;36m";

std::string painted(std::string_view text, std::string_view colour) {
    return std::string(colour).append(text).append(colour_end);
}

}  // namespace

void Console::error(std::string_view message, std::string_view help) {
    err << (colour_err ? painted("dmnbd: error:", red) : "dmnbd: error:") << ' '
        << printable(message) << '\n';
    if (!help.empty()) err << "  = help: " << printable(help) << '\n';
}

void Console::note(std::string_view message) {
    err << (colour_err ? painted("dmnbd: note:", cyan) : "dmnbd: note:") << ' '
        << printable(message) << '\n';
}

void Console::report(std::string_view text) {
    const std::string safe = printable_lines(text);
    err << (colour_err ? coloured_diagnostics(safe) : safe) << std::flush;
}

bool wants_colour(Colour choice, int fd) {
    if (choice != Colour::automatic) return choice == Colour::always;
    const char* off = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
    return ::isatty(fd) == 1 && !dumb && (off == nullptr || *off == '\0');
}

std::string coloured_diagnostics(std::string_view text) {
    std::istringstream lines{std::string(text)};
    std::string result;
    for (std::string line; std::getline(lines, line); result += '\n') {
        const std::size_t end = line.find(']');
        if (end == std::string::npos) {
            result += line;
            continue;
        }
        const std::string head = line.substr(0, end + 1);
        const std::string rest = line.substr(end + 1);
        if (head.starts_with("error["))
            result += painted(head, red) + rest;
        else if (head.starts_with("warning["))
            result += painted(head, yellow) + rest;
        else if (head.starts_with("note["))
            result += painted(head, cyan) + rest;
        else
            result += line;
    }
    return result;
}

std::string printable(std::string_view text) {
    std::string result;
    for (const char letter : text) {
        const auto code = static_cast<unsigned char>(letter);
        if (code >= 0x20 && code != 0x7f) {
            result += letter;
            continue;
        }
        std::array<char, 5> hex{};
        std::snprintf(hex.data(), hex.size(), "\\x%02x", code);
        result += hex.data();
    }
    return result;
}

std::string printable_lines(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        result += printable(text.substr(0, end));
        if (end == std::string_view::npos) break;
        result += '\n';
        text.remove_prefix(end + 1);
    }
    return result;
}

}  // namespace server::cli
