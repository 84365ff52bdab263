#pragma once

#include <chrono>

#include "dmcore/queue.h"

namespace dmcore {

/// Monotonic time since an unspecified start.
using Time = std::chrono::nanoseconds;

/// A wake-up that may be armed. Its owner disarms it before destroying it.
struct Timer : Link {
    using Fire = void (*)(void* owner) noexcept;
    Timer(Fire what, void* whose) noexcept : fire(what), owner(whose) {}

    Fire fire;
    void* owner;
    Time due{};
    bool armed = false;
};

/// The time as one shard sees it, and its timers. One of the three seams. Used on its shard only.
class Clock {
  public:
    virtual ~Clock() = default;

    /// Never goes back. A shard may refresh it once a turn, so that asking costs nothing.
    virtual Time now() const noexcept = 0;

    /// Runs timer.fire once on this shard when `due` has come; moves a timer that is armed already.
    virtual void arm(Timer& timer, Time due) noexcept = 0;
    virtual void disarm(Timer& timer) noexcept = 0;
};

}  // namespace dmcore
