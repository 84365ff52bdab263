#pragma once

#include "server/control/message.h"
#include "server/live.h"

namespace server::control {

/// The control API (user-experience 5): one request in, one answer out. Knows nothing of sockets.
/// Any thread.
class Api {
  public:
    /// Borrows `live`, which outlives it.
    explicit Api(Live& live) : live_(live) {}

    /// Never throws: what goes wrong is an answer, too.
    Response answer(const Request& request) noexcept;

  private:
    Live& live_;
};

}  // namespace server::control
