#pragma once

#include <termios.h>

#include <chrono>
#include <csignal>
#include <cstddef>

namespace server::cli {

/// How much fits on a terminal.
struct TerminalSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
};

/// Can standard output be drawn on: is it a terminal that knows more than lines?
bool can_draw();

/// Takes standard output's terminal for drawing: another screen, no cursor, keys as they are
/// pressed. Gives it back when it ends. One at a time; main thread.
class Terminal {
  public:
    Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal();

    /// As it is now.
    TerminalSize size() const;

    enum class Woken { by_time, by_size, by_end };
    /// Until that time, a new size, or the end: a `q`, or a signal that asks for it.
    Woken wait_until(std::chrono::steady_clock::time_point until);

  private:
    bool keys_ = false;  // Standard input is a terminal, too.
    termios before_{};
    sigset_t mask_before_{};
};

}  // namespace server::cli
