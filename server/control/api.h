#pragma once

#include "server/control/message.h"
#include "server/live.h"
#include "server/live_config.h"

namespace server::control {

/// The control API (user-experience 5): one request in, one answer out. Knows nothing of sockets.
/// Any thread.
class Api {
  public:
    /// Borrows both, which outlive it. Without a `config` there is no path /v1/config.
    explicit Api(Live& live, LiveConfig* config = nullptr) : live_(live), config_(config) {}

    /// Never throws: what goes wrong is an answer, too.
    Response answer(const Request& request) noexcept;

  private:
    Live& live_;
    LiveConfig* config_;
};

}  // namespace server::control
