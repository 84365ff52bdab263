#include "server/attach/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "config/diagnostic.h"
#include "config/values.h"
#include "server/attach/error.h"

namespace server::attach {
namespace {

using Kind = AttachError::Kind;

constexpr const char* default_port = "10809";

[[noreturn]] void bad(std::string_view text, const std::string& why) {
    throw AttachError(Kind::usage,
                      config::in_quotes(text) + " is not the address of an NBD server: " + why,
                      "write nbd://HOST:PORT or nbd+unix:///?socket=PATH, as `dmnbd serve` prints "
                      "them, or unix:PATH");
}

/// Takes `prefix` from the front of `text`. False: it is not there.
bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

NbdAddress parse_host(std::string_view text, std::string_view rest) {
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.find('/') != std::string_view::npos) bad(text, "the export is a word of its own");
    std::string_view port = default_port;
    const std::size_t colon = rest.rfind(':');
    if (colon != std::string_view::npos && !rest.ends_with(']')) {
        port = rest.substr(colon + 1);
        rest = rest.substr(0, colon);
    }
    const auto number = config::parse_count(port, 65535);
    if (!number || *number == 0) bad(text, "a port is a number from 1 to 65535");
    const bool bracketed = rest.starts_with('[') && rest.ends_with(']');
    if (bracketed) rest = rest.substr(1, rest.size() - 2);
    if (rest.empty()) bad(text, "it has no host");
    if (!bracketed && rest.find(':') != std::string_view::npos) {
        bad(text, "an IPv6 address stands in brackets");
    }
    return {.path = {}, .host = std::string(rest), .port = std::string(port)};
}

NbdAddress parse_path(std::string_view text, std::string_view path) {
    if (path.empty()) bad(text, "it has no path");
    if (path.size() >= sizeof sockaddr_un{}.sun_path) bad(text, "its path is too long");
    return {.path = std::string(path), .host = {}, .port = {}};
}

/// Zero: for ever.
void set_time_to_connect(int fd, std::chrono::microseconds time) noexcept {
    const timeval value{.tv_sec = time.count() / 1'000'000, .tv_usec = time.count() % 1'000'000};
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

[[noreturn]] void unreachable(const NbdAddress& address, const std::string& why) {
    throw AttachError(Kind::no_server, "no NBD server answers at " + address.text() + ": " + why,
                      "`dmnbd serve` prints where it listens; name that with --server");
}

/// An errno as people read it; what a connect says that ran out of time would not be understood.
std::string reason(int error) {
    return std::strerror(error == EINPROGRESS || error == EAGAIN ? ETIMEDOUT : error);
}

/// Invalid if it fails, with errno set.
Socket connected(int family, const sockaddr* to, socklen_t bytes, Clock::time_point until) {
    using std::chrono::microseconds;
    Socket socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd() < 0) return socket;
    const auto left = std::chrono::ceil<microseconds>(until - Clock::now());
    set_time_to_connect(socket.fd(), std::max(left, microseconds(1)));
    if (::connect(socket.fd(), to, bytes) != 0) return Socket();
    set_time_to_connect(socket.fd(), microseconds(0));
    return socket;
}

Socket connect_unix(const NbdAddress& address, Clock::time_point until) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, address.path.data(), address.path.size());
    Socket socket = connected(AF_UNIX, reinterpret_cast<const sockaddr*>(&to), sizeof to, until);
    if (socket.fd() < 0) unreachable(address, reason(errno));
    return socket;
}

Socket connect_tcp(const NbdAddress& address, Clock::time_point until) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int failure = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &list);
    if (failure != 0) unreachable(address, ::gai_strerror(failure));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    int error = ECONNREFUSED;
    for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
        Socket socket = connected(each->ai_family, each->ai_addr, each->ai_addrlen, until);
        if (socket.fd() >= 0) {
            const int on = 1;
            ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            ::setsockopt(socket.fd(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
            return socket;
        }
        error = errno;
    }
    unreachable(address, reason(error));
}

}  // namespace

std::string NbdAddress::text() const {
    if (!path.empty()) return "nbd+unix:///?socket=" + path;
    const bool six = host.find(':') != std::string::npos;
    return "nbd://" + (six ? '[' + host + ']' : host) + ':' + port;
}

NbdAddress parse_nbd_address(std::string_view text) {
    std::string_view rest = text;
    if (take(rest, "nbd+unix:///?socket=") || take(rest, "unix:")) return parse_path(text, rest);
    if (take(rest, "nbd://") || take(rest, "tcp://")) return parse_host(text, rest);
    if (rest.starts_with("nbds")) bad(text, "the kernel's client can't do TLS");
    bad(text, "it is none of the forms there are");
}

Socket connect_to(const NbdAddress& address, Clock::time_point until) {
    return address.path.empty() ? connect_tcp(address, until) : connect_unix(address, until);
}

}  // namespace server::attach
