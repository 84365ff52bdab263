#include "server/net/sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "server/limits.h"

namespace server {
namespace {

constexpr int socket_type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

[[noreturn]] void fail(const std::string& where, int error) {
    const bool in_use = error == EADDRINUSE;
    throw ListenError("can't listen at " + where + ": " +
                          (in_use ? "in use; another server answers there" : std::strerror(error)),
                      in_use);
}

sockaddr_un unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        throw ListenError("can't listen at unix:" + path + ": a socket's path has 1 to " +
                              std::to_string(sizeof address.sun_path - 1) + " bytes",
                          false);
    }
    path.copy(address.sun_path, path.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

/// Removes a socket file that a server left behind when it died. Throws if one still listens there.
void remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return;
    if (!S_ISSOCK(found.st_mode)) {
        throw ListenError("can't listen at unix:" + path + ": it is there and is not a socket",
                          false);
    }
    const Socket probe(::socket(AF_UNIX, socket_type, 0));
    if (::connect(probe.fd(), generic(address), sizeof address) == 0)
        fail("unix:" + path, EADDRINUSE);
    if (errno == EAGAIN) fail("unix:" + path, EADDRINUSE);  // Alive, with a full backlog.
    if (errno == ECONNREFUSED) ::unlink(path.c_str());
}

struct FreeAddresses {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

}  // namespace

Socket::~Socket() {
    if (fd_ >= 0) ::close(fd_);
}

Socket listen_unix(const std::string& path, unsigned mode) {
    const sockaddr_un address = unix_address(path);
    remove_stale(path, address);
    Socket socket(::socket(AF_UNIX, socket_type, 0));
    // Nobody can connect before listen(), so there is no moment with a mode too wide.
    if (socket.fd() < 0 || ::bind(socket.fd(), generic(address), sizeof address) != 0 ||
        ::chmod(path.c_str(), mode) != 0 || ::listen(socket.fd(), limits::listen_backlog) != 0) {
        fail("unix:" + path, errno);
    }
    return socket;
}

Socket listen_tcp(const std::string& host, std::uint16_t port) {
    const std::string where = host + ":" + std::to_string(port);
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    const int answer = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &list);
    if (answer != 0) {
        throw ListenError("can't listen at " + where + ": " + ::gai_strerror(answer), false);
    }
    const std::unique_ptr<addrinfo, FreeAddresses> owner(list);
    Socket socket(::socket(list->ai_family, socket_type, 0));
    const int on = 1;
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (socket.fd() < 0 || ::bind(socket.fd(), list->ai_addr, list->ai_addrlen) != 0 ||
        ::listen(socket.fd(), limits::listen_backlog) != 0) {
        fail(where, errno);
    }
    return socket;
}

std::uint16_t port_of(const Socket& socket) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    ::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &length);
    // The port is at the same place in both families.
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace server
