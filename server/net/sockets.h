#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

/// Sockets that listen. They do not block and are not inherited by children.
namespace server {

struct ListenError : std::runtime_error {
    ListenError(const std::string& message, bool in_use_)
        : std::runtime_error(message), in_use(in_use_) {}

    bool in_use;  // Another server is there: exit code 5. Otherwise 1.
};

/// Owns a descriptor.
class Socket {
  public:
    explicit Socket(int fd = -1) noexcept : fd_(fd) {}
    Socket(Socket&& other) noexcept : fd_(other.release()) {}
    Socket& operator=(Socket&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Socket();

    int fd() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

  private:
    int fd_;
};

/// Listens at `path`, which then has `mode`. A socket file that nobody answers on is replaced; one
/// that is alive, and any other file, is left alone. Throws ListenError.
Socket listen_unix(const std::string& path, unsigned mode);

/// Listens at a numeric address or a name of this machine. Port 0: any. Throws ListenError.
Socket listen_tcp(const std::string& host, std::uint16_t port);

/// Is it only that a call to read or write a socket has nothing to do now? `result` is what it
/// returned, and errno is still its own.
inline bool would_block(ssize_t result) noexcept {
    return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/// The port that a TCP socket got.
std::uint16_t port_of(const Socket& socket);

}  // namespace server
