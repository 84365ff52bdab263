#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace server::cli {

/// Where a server is controlled.
struct Address {
    std::string path;  // Of a unix socket; empty: TCP.
    std::string host;  // Without brackets.
    std::uint16_t port = 0;

    /// "unix:PATH" or "http://HOST:PORT".
    std::string text() const;
    friend bool operator==(const Address&, const Address&) = default;
};

/// Reads `PATH`, `unix:PATH` or `http://HOST:PORT`. Throws Failure (usage).
Address parse_address(std::string_view text);

/// Where a client asks: the flag, else DMNBD_CONTROL, else the first default socket that is there.
/// Throws Failure: usage, or no_server if there is no socket.
Address client_address(const std::string& flag);

/// Path of the control socket a server makes: the flag, else DMNBD_CONTROL, else empty, which
/// leaves it to the table file. Throws Failure (usage).
std::string server_path(const std::string& flag);

}  // namespace server::cli
