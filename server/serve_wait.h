#pragma once

#include <sys/types.h>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>

namespace server {

/// What the main thread does while the others serve: it waits until the first signal that ends us,
/// or the end of the command. Signals are heard as soon as this is made, and answered in ended()
/// and run(); a call that waits meanwhile fails with EINTR. From the end of run() on such a signal
/// exits at once, and SIGHUP is ignored.
class Wait {
  public:
    struct Calls {
        std::function<void()> hang_up;          // For each SIGHUP; must not wait.
        std::function<void()> tick;             // Every `tick_time`; may wait a little.
        std::chrono::microseconds tick_time{};  // Zero: never.
    };
    explicit Wait(Calls calls);

    /// The end of this child is ours, too.
    void end_with(pid_t command);
    /// Have we been told to end already? Does not wait.
    bool ended();
    /// The exit code so far: of the command, or 0.
    int run();

  private:
    void wait_for_end();
    void wait_for_others();
    void wait_for_tick();
    bool command_ended();

    asio::io_context io_;
    asio::signal_set signals_;
    asio::signal_set others_;
    asio::steady_timer timer_;
    pid_t command_ = 0;  // None.
    Calls calls_;
    int code_ = 0;
};

}  // namespace server
