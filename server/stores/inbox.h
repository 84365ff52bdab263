#pragma once

#include "dmcore/bio.h"
#include "dmcore/queue.h"

namespace server {

/// Where a store brings bios back to that it finished on a thread of its own.
class Inbox {
  public:
    virtual ~Inbox() = default;

    /// The bios end on their shard, as failed if their failures are set. Any thread.
    virtual void finished(dmcore::Queue<dmcore::Bio>& bios) noexcept = 0;
};

}  // namespace server
