#pragma once

#include <cstdint>
#include <string>

namespace server {

/// The way to the remote of a store of type nbd.
struct RemoteLink {
    bool connected = false;
    std::uint64_t reconnects = 0;  // Connections that took the place of a lost one.
    std::string trouble;           // Why it is not connected; else empty.
};

}  // namespace server
