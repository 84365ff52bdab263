#pragma once

#include <string>
#include <vector>

#include "config/spec.h"
#include "server/net/sockets.h"

namespace server {

/// Sockets that listen already, and that whoever has started this process gave to it, as systemd
/// does for a .socket unit: sd_listen_fds(3). They stay open for the life of the process, so that
/// an address that leaves the table file may come back: it could not be bound anew.
class PassedSockets {
  public:
    PassedSockets() = default;
    /// What the environment tells of; its variables go, for our children have no such sockets.
    /// Throws ListenError if one can't be accepted on.
    static PassedSockets take();

    /// The one that listens there, as a descriptor of its own; without one if there is none.
    Socket at(const config::ListenSpec& spec) const;
    /// Adds the addresses of those that at() does not give for any of `listen`.
    void add_to(std::vector<config::ListenSpec>& listen) const;

  private:
    struct One {
        Socket socket;
        config::ListenSpec spec;
        bool both_families;

        bool listens_at(const config::ListenSpec& wanted) const;
    };
    const One* find(const config::ListenSpec& spec) const;

    std::vector<One> all_;
};

}  // namespace server
