#include "server/serve_wait.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace server {
namespace {

int exit_code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void exit_at_once_on_signal() {
    for (const int signal : {SIGTERM, SIGINT}) {
        std::signal(signal, [](int number) { ::_exit(128 + number); });
    }
    std::signal(SIGHUP, SIG_IGN);
}

}  // namespace

Wait::Wait(Calls calls)
    : signals_(io_, SIGTERM, SIGINT), others_(io_, SIGHUP), timer_(io_), calls_(std::move(calls)) {
    wait_for_end();
    wait_for_others();
    if (calls_.tick_time.count() != 0) wait_for_tick();
}

void Wait::end_with(pid_t command) {
    command_ = command;
    others_.add(SIGCHLD);
    command_ended();  // Before that, its signal went to nobody.
}

bool Wait::ended() {
    io_.poll();
    return io_.stopped();
}

int Wait::run() {
    io_.run();
    // Before they go they would set what signals do back to what the system does.
    signals_.clear();
    others_.clear();
    exit_at_once_on_signal();
    return code_;
}

void Wait::wait_for_end() {
    signals_.async_wait([this](std::error_code error, int) {
        if (error) return;
        others_.cancel();
        io_.stop();
    });
}

void Wait::wait_for_others() {
    others_.async_wait([this](std::error_code error, int signal) {
        if (error) return;
        if (signal == SIGCHLD && command_ended()) return;
        if (signal == SIGHUP) calls_.hang_up();
        wait_for_others();
    });
}

void Wait::wait_for_tick() {
    timer_.expires_after(calls_.tick_time);
    timer_.async_wait([this](std::error_code error) {
        if (error) return;
        calls_.tick();
        wait_for_tick();
    });
}

bool Wait::command_ended() {
    int status = 0;
    if (::waitpid(command_, &status, WNOHANG) != command_) return false;
    code_ = exit_code_of(status);
    io_.stop();
    return true;
}

}  // namespace server
