#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "server/event_feed.h"

struct MHD_Connection;
struct MHD_Response;

namespace server::control {

/// Bodies that go on: what happens, as it happens. A connection that waits for it is suspended and
/// holds no thread. Any thread.
class EventBodies {
  public:
    /// A body for the connection, to be queued there; null: no memory.
    MHD_Response* make(MHD_Connection* connection, std::shared_ptr<EventReader> reader);
    /// All of them end, and those that are made from now on do so at once. To be called before the
    /// daemon is stopped, which may find no connection suspended.
    void end();

  private:
    std::mutex mutex_;  // Guards the rest.
    std::vector<std::weak_ptr<EventReader>> readers_;
    bool ended_ = false;
};

}  // namespace server::control
