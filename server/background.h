#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <thread>

namespace server {

/// A thread for what may take its time and nobody waits for.
class Background {
  public:
    Background();
    /// Runs what has been posted; forgets what is still to come.
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    /// Any thread.
    void post(std::function<void()> what);
    void after(std::chrono::nanoseconds time, std::function<void()> what);

  private:
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    std::thread thread_;
};

}  // namespace server
