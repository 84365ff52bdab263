#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/control/access.h"
#include "server/control/message.h"

namespace server::control {

/// Serves the control API over HTTP, on threads of its own: slow or idle callers never touch the
/// data path, nor each other (see limits.h). Used on one thread.
class ControlServer {
  public:
    /// `handler` is called from the server's threads, until the destructor returns.
    explicit ControlServer(Handler handler);
    /// Stops listening, waits for the calls at work and removes the socket file. Whoever owns what
    /// they wait for ends their waiting first.
    ~ControlServer();

    /// For the same user and root. `mode` is the file's. Throws ListenError.
    void listen_unix(const std::string& path, unsigned mode);

    /// For everyone who reaches it, as `rules` say. Returns the port. Throws ListenError.
    std::uint16_t listen_tcp(const std::string& host, std::uint16_t port, TcpRules rules);

    /// For those who come by TCP, from their next request on. Any thread, but not while listening
    /// begins.
    void set_rules(const TcpRules& rules);

  private:
    class Listener;

    Handler handler_;
    std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace server::control
