#pragma once

#include <cstddef>
#include <cstdint>

#include "server/control/message.h"
#include "server/live.h"
#include "server/live_config.h"

namespace server::control {

/// What it takes to carry a request, known before its body comes.
struct Needs {
    enum class Thread : std::uint8_t {
        shared,     // Answered at once.
        of_change,  // May take its time.
        of_wait,    // Lasts until something happens, or some change ends it.
    };
    std::size_t body_bytes_max;
    Thread thread;
};
Needs needs_of(const std::string& method, const std::string& path);

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
