#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

namespace server::control {

/// Threads for calls that may wait long or for ever, such as a suspend behind stuck I/O: one a
/// call, up to `calls_max`. So nobody else waits with them. Any thread.
class CallThreads {
  public:
    explicit CallThreads(unsigned calls_max) : calls_max_(calls_max) {}
    CallThreads(const CallThreads&) = delete;
    CallThreads& operator=(const CallThreads&) = delete;
    /// Waits for the calls.
    ~CallThreads() { stop(); }

    /// Runs `call` on a thread of its own. False: too many are at work, or no thread could be made.
    bool start(std::function<void()> call);
    /// Starts no more, and waits for those at work.
    void stop();

  private:
    void run(const std::function<void()>& call);

    const unsigned calls_max_;
    std::mutex mutex_;
    std::condition_variable ended_;
    unsigned at_work_ = 0;
    bool stopped_ = false;
};

}  // namespace server::control
