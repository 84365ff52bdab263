#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "server/net/sockets.h"

namespace server::attach {

/// Where an NBD server is reached.
struct NbdAddress {
    std::string path;  // Of a unix socket; empty: TCP.
    std::string host;  // Without brackets.
    std::string port;

    /// As a URI without an export.
    std::string text() const;
    friend bool operator==(const NbdAddress&, const NbdAddress&) = default;
};

/// Reads `nbd://HOST[:PORT]` and `nbd+unix:///?socket=PATH`, as `dmnbd serve` prints them, or
/// `tcp://HOST:PORT` and `unix:PATH`, as a table file has them. Throws AttachError (usage).
NbdAddress parse_nbd_address(std::string_view text);

/// Of all deadlines here.
using Clock = std::chrono::steady_clock;

/// A connection, made before `until`; its sends and receives wait for ever, as the kernel wants it.
/// May ask for the name of the host, and waits for that. Throws AttachError (no_server).
Socket connect_to(const NbdAddress& address, Clock::time_point until);

}  // namespace server::attach
