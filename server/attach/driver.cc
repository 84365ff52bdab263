#include "server/attach/driver.h"

#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "server/attach/error.h"

namespace server::attach {
namespace {

constexpr std::uint8_t control_version = 1;
constexpr std::uint8_t nbd_version = NBD_GENL_VERSION;

[[noreturn]] void fail(int error, const char* doing) {
    throw std::system_error(error, std::generic_category(), doing);
}

}  // namespace

Message message_of(std::uint16_t family, std::uint8_t command, unsigned index, const Setup& setup,
                   std::uint32_t sequence) {
    Message message(family, command, nbd_version, sequence);
    message.put(NBD_ATTR_INDEX, std::uint32_t{index});
    const auto put = [&](std::uint16_t type, const std::optional<std::uint64_t>& value) {
        if (value) message.put(type, *value);
    };
    put(NBD_ATTR_SIZE_BYTES, setup.size_bytes);
    put(NBD_ATTR_BLOCK_SIZE_BYTES, setup.block_bytes);
    put(NBD_ATTR_TIMEOUT, setup.timeout_s);
    put(NBD_ATTR_DEAD_CONN_TIMEOUT, setup.dead_timeout_s);
    put(NBD_ATTR_SERVER_FLAGS, setup.server_flags);
    put(NBD_ATTR_CLIENT_FLAGS, setup.client_flags);
    if (!setup.backend.empty()) message.put(NBD_ATTR_BACKEND_IDENTIFIER, setup.backend);
    if (setup.sockets.empty()) return message;
    const std::size_t list = message.open(NBD_ATTR_SOCKETS);
    for (const int socket : setup.sockets) {
        const std::size_t item = message.open(NBD_SOCK_ITEM);
        message.put(NBD_SOCK_FD, static_cast<std::uint32_t>(socket));
        message.close(item);
    }
    message.close(list);
    return message;
}

Driver::Driver() : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC)) {
    if (socket_.fd() < 0) fail(errno, "generic netlink");
    sockaddr_nl here{};
    here.nl_family = AF_NETLINK;
    if (::bind(socket_.fd(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) {
        fail(errno, "generic netlink");
    }
    resolve_family();
}

void Driver::resolve_family() {
    Message message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, control_version, ++sequence_);
    message.put(CTRL_ATTR_FAMILY_NAME, std::string(NBD_GENL_FAMILY_NAME));
    try {
        const auto answer = ask(message);
        const auto all = attributes(answer);
        const auto id = all ? find(*all, CTRL_ATTR_FAMILY_ID) : std::nullopt;
        if (id) family_ = id->u16().value_or(0);
    } catch (const std::system_error& error) {
        if (error.code().value() != ENOENT) throw;
    }
    if (family_ != 0) return;
    throw AttachError(AttachError::Kind::failed, "this kernel has no nbd driver to attach with",
                      "modprobe nbd; it can be reached from the machine's own network namespace "
                      "only");
}

std::vector<std::byte> Driver::ask(Message& message) {
    const auto bytes = message.bytes();
    while (::send(socket_.fd(), bytes.data(), bytes.size(), 0) < 0) {
        if (errno != EINTR) fail(errno, "generic netlink");
    }
    std::vector<std::byte> found;
    for (;;) {
        std::array<std::byte, 8192> datagram;
        const ssize_t got = ::recv(socket_.fd(), datagram.data(), datagram.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail(errno, "generic netlink");
        const auto all = answers(std::span(datagram).first(static_cast<std::size_t>(got)));
        if (!all) fail(EBADMSG, "generic netlink");
        for (const Answer& each : *all) {
            if (each.sequence != sequence_) continue;  // Of a question that was given up.
            if (each.type != NLMSG_ERROR) {
                found.assign(each.attributes.begin(), each.attributes.end());
            } else if (each.error != 0) {
                fail(each.error, "nbd driver");
            } else {
                return found;
            }
        }
    }
}

void Driver::connect(unsigned index, const Setup& setup) {
    Message message = message_of(family_, NBD_CMD_CONNECT, index, setup, ++sequence_);
    ask(message);
}

void Driver::reconfigure(unsigned index, const Setup& setup) {
    Message message = message_of(family_, NBD_CMD_RECONFIGURE, index, setup, ++sequence_);
    ask(message);
}

void Driver::disconnect(unsigned index) {
    Message message = message_of(family_, NBD_CMD_DISCONNECT, index, {}, ++sequence_);
    ask(message);
}

bool Driver::in_use(unsigned index) {
    Message message = message_of(family_, NBD_CMD_STATUS, index, {}, ++sequence_);
    const auto answer = ask(message);
    const auto all = attributes(answer);
    const auto list = all ? find(*all, NBD_ATTR_DEVICE_LIST) : std::nullopt;
    const auto items = list ? attributes(list->value) : std::nullopt;
    const auto item = items ? find(*items, NBD_DEVICE_ITEM) : std::nullopt;
    const auto fields = item ? attributes(item->value) : std::nullopt;
    const auto connected = fields ? find(*fields, NBD_DEVICE_CONNECTED) : std::nullopt;
    return connected && connected->u8().value_or(0) != 0;
}

}  // namespace server::attach
