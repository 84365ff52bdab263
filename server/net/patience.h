#pragma once

#include <algorithm>

#include "dmcore/clock.h"
#include "server/limits.h"

namespace server {

/// Whether who waits should look again and again for a moment (limits::spin_time) before it sleeps:
/// to be woken costs more than that moment, for both sides. Only what came soon the last few times
/// is expected to come soon, so a client that is slow, gone, or waits for this very core costs next
/// to nothing.
class Patience {
  public:
    bool spins() const noexcept { return short_waits_ == limits::short_waits_to_spin; }
    /// It took so long until something had been received, looking and sleeping together.
    void waited(dmcore::Time time) noexcept {
        const bool soon = time < limits::spin_time;
        short_waits_ = soon ? std::min(short_waits_ + 1, limits::short_waits_to_spin) : 0;
    }

  private:
    unsigned short_waits_ = 0;
};

}  // namespace server
