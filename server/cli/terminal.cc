#include "server/cli/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace server::cli {
namespace {

constexpr std::string_view take_screen = "\033[?1049h\033[?25l";
constexpr std::string_view give_back = "\033[?25h\033[?1049l";
constexpr std::array ending_signals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

volatile std::sig_atomic_t end_asked = 0;
volatile std::sig_atomic_t size_changed = 0;

void on_end(int) {
    end_asked = 1;
}
void on_size(int) {
    size_changed = 1;
}

void handle(int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    ::sigaction(signal, &action, nullptr);
}

void write_all(std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

}  // namespace

bool can_draw() {
    const char* kind = std::getenv("TERM");
    return ::isatty(STDOUT_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

/// Signals come only while it waits, so that none is missed before.
Terminal::Terminal() {
    end_asked = 0;
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGWINCH);
    for (const int signal : ending_signals) sigaddset(&ours, signal);
    ::pthread_sigmask(SIG_BLOCK, &ours, &mask_before_);
    for (const int signal : ending_signals) handle(signal, on_end);
    handle(SIGWINCH, on_size);
    keys_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (keys_) {
        termios keys = before_;
        keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        keys.c_cc[VSUSP] = _POSIX_VDISABLE;  // A stop would leave the shell our screen.
        ::tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
    }
    write_all(take_screen);
}

Terminal::~Terminal() {
    write_all(give_back);
    if (keys_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
    for (const int signal : ending_signals) handle(signal, SIG_DFL);
    handle(SIGWINCH, SIG_DFL);
    ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

TerminalSize Terminal::size() const {
    winsize found{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) != 0 || found.ws_col == 0 || found.ws_row == 0) {
        return {};
    }
    return {.columns = found.ws_col, .rows = found.ws_row};
}

Terminal::Woken Terminal::wait_until(std::chrono::steady_clock::time_point until) {
    for (;;) {
        const auto left = std::max<std::chrono::nanoseconds>(
            until - std::chrono::steady_clock::now(), std::chrono::nanoseconds(0));
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        const timespec time{seconds.count(), (left - seconds).count()};
        pollfd keys{STDIN_FILENO, POLLIN, 0};
        const int ready = ::ppoll(&keys, keys_ ? 1 : 0, &time, &mask_before_);
        if (end_asked != 0) return Woken::by_end;
        if (size_changed != 0) {
            size_changed = 0;
            return Woken::by_size;
        }
        if (ready == 0) return Woken::by_time;
        char key = 0;
        const bool read = ready > 0 && ::read(STDIN_FILENO, &key, 1) == 1;
        if (key == 'q' || (ready > 0 && !read)) return Woken::by_end;
    }
}

}  // namespace server::cli
