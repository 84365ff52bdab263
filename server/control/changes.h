#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

namespace server::control {

/// Threads for calls that may wait for ever, such as a suspend behind stuck I/O: one a call, up to
/// a bound. So nobody else waits with them. Any thread.
class ChangeThreads {
  public:
    ChangeThreads() = default;
    ChangeThreads(const ChangeThreads&) = delete;
    ChangeThreads& operator=(const ChangeThreads&) = delete;
    /// Waits for the calls.
    ~ChangeThreads() { stop(); }

    /// Runs `call` on a thread of its own. False: too many are at work, or no thread could be made.
    bool start(std::function<void()> call);
    /// Starts no more, and waits for those at work.
    void stop();

  private:
    void run(const std::function<void()>& call);

    std::mutex mutex_;
    std::condition_variable ended_;
    unsigned at_work_ = 0;
    bool stopped_ = false;
};

}  // namespace server::control
