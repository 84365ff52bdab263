#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/attach/address.h"
#include "server/nbd/export.h"

/// The client's side of the NBD handshake, small: fixed newstyle, no TLS, no structured replies,
/// which the kernel does not understand.
namespace server::attach {

/// What a server says of an export.
struct Offer {
    std::uint64_t size_bytes = 0;
    std::uint16_t flags = 0;  // Transmission flags.
    std::uint32_t min_block_bytes = 1;
    std::uint32_t preferred_block_bytes = 4096;
    std::uint32_t max_payload_bytes = 32U << 20;
    std::optional<nbd::Identity> identity;  // None: another kind of server.

    bool has(std::uint16_t flag) const noexcept { return (flags & flag) != 0; }
};

/// Negotiates on `fd`, which has just been connected, and enters the export: what the socket
/// carries from then on are requests and replies. Not a byte more is read. Throws AttachError, also
/// (no_server) if that takes until `until`.
Offer enter_export(int fd, const std::string& name, Clock::time_point until);

/// Only asks, and says goodbye. Throws AttachError.
Offer ask_export(int fd, const std::string& name, Clock::time_point until);

}  // namespace server::attach
