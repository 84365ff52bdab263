#pragma once

#include <functional>

namespace dmcore {

/// Carries work between threads. One of the three seams. Posting is for what is rare: it may
/// allocate and lock. Posts from one thread to another run in order.
class Executor {
  public:
    virtual ~Executor() = default;

    /// Number of shards; they are numbered from 0.
    virtual unsigned shards() const noexcept = 0;

    /// Runs `what` on that shard, soon, never inside this call. Any thread.
    virtual void post(unsigned shard, std::function<void()> what) = 0;

    /// Runs `what` on the control thread, which owns every MappedDevice. Any thread.
    virtual void post_control(std::function<void()> what) = 0;
};

}  // namespace dmcore
