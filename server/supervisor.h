#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <string>

#include "server/net/sockets.h"

namespace server {

/// Whoever started this process and wants to hear how it is, as systemd does of a unit with
/// Type=notify: sd_notify(3). That is one datagram of lines each, which is simpler than a library
/// to find and to ship. Where nobody wants to hear, nothing happens. Any thread.
class Supervisor {
  public:
    /// Takes its variables out of the environment: our children must not answer for us.
    Supervisor();

    /// `status` is one line for people.
    void ready(const std::string& status) const;
    /// Until the next ready().
    void reloading() const;
    void stopping() const;
    /// Not hearing this for the time of watchdog() means that we hang.
    void alive() const;
    /// Zero: nobody waits for alive().
    std::chrono::microseconds watchdog() const noexcept { return watchdog_; }

  private:
    void tell(const std::string& lines) const;

    Socket socket_;  // Without a descriptor: nobody wants to hear.
    sockaddr_un address_{};
    socklen_t address_bytes_ = 0;
    std::chrono::microseconds watchdog_{};
};

}  // namespace server
