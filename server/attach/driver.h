#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "server/attach/message.h"
#include "server/net/sockets.h"

namespace server::attach {

/// What the kernel is told of a device; what is not given stays as it is.
struct Setup {
    std::optional<std::uint64_t> size_bytes{};
    std::optional<std::uint64_t> block_bytes{};
    std::optional<std::uint64_t> timeout_s{};
    std::optional<std::uint64_t> dead_timeout_s{};
    std::optional<std::uint64_t> server_flags{};
    std::optional<std::uint64_t> client_flags{};
    std::string backend;       // Compared with what it was attached with, by kernels since 5.14.
    std::vector<int> sockets;  // To be added, or put in the places of dead ones.
};

/// A message to the nbd family about device `index`, acknowledged as `sequence`.
Message message_of(std::uint16_t family, std::uint8_t command, unsigned index, const Setup& setup,
                   std::uint32_t sequence);

/// Linux's nbd driver, over generic netlink. One thread. All but in_use() need CAP_SYS_ADMIN,
/// and throw std::system_error with what the kernel says.
class Driver {
  public:
    /// Throws AttachError if there is no such driver.
    Driver();

    /// EBUSY: the device is in use.
    void connect(unsigned index, const Setup& setup);
    /// EINVAL: it is not attached (or no longer), or not with this backend.
    void reconfigure(unsigned index, const Setup& setup);
    /// What is in flight fails. Does nothing if it is not attached.
    void disconnect(unsigned index);
    /// Somebody uses it: it is attached, or just open.
    bool in_use(unsigned index);

  private:
    void resolve_family();
    /// Sends, and waits for the acknowledgement. The attributes of what else was answered.
    std::vector<std::byte> ask(Message& message);

    Socket socket_;
    std::uint16_t family_ = 0;
    std::uint32_t sequence_ = 0;
};

}  // namespace server::attach
