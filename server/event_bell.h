#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace server {

/// Wakes threads that wait for something to change. Whoever waits reads rings() first, then looks
/// at what may change, and waits with what it read: so no ring is missed. Any thread.
class EventBell {
  public:
    using Clock = std::chrono::steady_clock;

    void ring() {
        const std::lock_guard lock(mutex_);
        ++rings_;
        rung_.notify_all();
    }
    /// Nobody waits any more.
    void end() {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        rung_.notify_all();
    }
    bool ended() const {
        const std::lock_guard lock(mutex_);
        return ended_;
    }
    std::uint64_t rings() const {
        const std::lock_guard lock(mutex_);
        return rings_;
    }
    /// Waits for a ring after the first `heard`, or end(). False: `until` came first.
    bool wait(std::uint64_t heard, Clock::time_point until) {
        std::unique_lock lock(mutex_);
        return rung_.wait_until(lock, until, [&] { return ended_ || rings_ != heard; });
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable rung_;
    std::uint64_t rings_ = 0;
    bool ended_ = false;
};

}  // namespace server
