#pragma once

#include "dmcore/bio.h"

namespace server {

/// Where a store brings bios back to that it finished on a thread of its own.
class Inbox {
  public:
    virtual ~Inbox() = default;

    /// The bio ends on its shard, as failed if its failure is set. Any thread.
    virtual void finished(dmcore::Bio& bio) noexcept = 0;
};

}  // namespace server
