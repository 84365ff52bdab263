#include "server/net/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "server/exports.h"

namespace server {
namespace {

std::atomic<std::size_t> connections{0};  // Of the process [limits::connections_max].

unsigned unix_mode() {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    return 0777U & ~mask;
}

Socket listen_at(const config::ListenSpec& spec) {
    // As bind() alone would leave it: who may connect is the business of the folder and the umask.
    if (spec.is_unix()) return listen_unix(spec.path, unix_mode());
    return listen_tcp(spec.host, spec.port);
}

std::string host_text(const sockaddr_storage& from, Peer& peer) {
    char text[INET6_ADDRSTRLEN] = "";
    config::Address address{};
    if (from.ss_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(from);
        ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
        address[10] = address[11] = 0xff;
        std::memcpy(address.data() + 12, &in.sin_addr, 4);
        peer.address = address;
        return std::string(text) + ":" + std::to_string(ntohs(in.sin_port));
    }
    const auto& in = reinterpret_cast<const sockaddr_in6&>(from);
    ::inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
    std::memcpy(address.data(), &in.sin6_addr, 16);
    peer.address = address;
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(in.sin6_port));
}

void set_tcp_options(int fd) {
    const int on = 1;
    const int idle = static_cast<int>(limits::keepalive_idle.count());
    const int interval = static_cast<int>(limits::keepalive_interval.count());
    const unsigned user_ms =
        static_cast<unsigned>(idle + interval * limits::keepalive_probes) * 1000;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &limits::keepalive_probes, sizeof(int));
    ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof user_ms);
}

/// From accept on, so that no more are accepted while a shard is busy. Ends with the connection, on
/// whatever thread that happens.
struct Place {
    Place() { ++connections; }
    ~Place() { --connections; }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
};

struct PlacedConnection : Connection {
    PlacedConnection(std::shared_ptr<Place> place, Shard& shard, Socket socket, Peer peer,
                     Offer offer)
        : Connection(shard, std::move(socket), std::move(peer), std::move(offer)),
          place_(std::move(place)) {}

  private:
    std::shared_ptr<Place> place_;
};

}  // namespace

Listener::Listener(asio::io_context& control, Shards& shards, config::ListenSpec spec,
                   Socket passed)
    : shards_(shards),
      spec_(std::move(spec)),
      is_passed_(passed.fd() >= 0),
      listening_(is_passed_ ? std::move(passed) : listen_at(spec_)),
      port_(spec_.is_unix() ? 0 : port_of(listening_)),
      socket_(control, listening_.release()),
      pause_(control) {}

Listener::~Listener() {
    stop();
}

void Listener::stop() {
    if (!socket_.is_open()) return;
    std::error_code ignored;
    socket_.close(ignored);
    pause_.cancel();
    if (spec_.is_unix() && !is_passed_) ::unlink(spec_.path.c_str());
}

std::string Listener::uri() const {
    const std::string scheme = spec_.tls == config::Tls::require ? "nbds" : "nbd";
    if (spec_.is_unix()) return scheme + "+unix:///?socket=" + spec_.path;
    const bool six = spec_.host.find(':') != std::string::npos;
    return scheme + "://" + (six ? "[" + spec_.host + "]" : spec_.host) + ":" +
           std::to_string(port_);
}

void Listener::start() {
    accept();
}

void Listener::accept() {
    const auto wait = asio::posix::stream_descriptor::wait_read;
    socket_.async_wait(wait, [this, alive = std::weak_ptr(alive_)](std::error_code error) {
        if (error || alive.expired()) return;
        if (connections >= limits::connections_max) return pause();
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        const int fd = ::accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&from),
                                 &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
        const bool passing = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
        if (fd < 0 && !passing) return pause();
        if (fd >= 0) take(fd, from);
        accept();
    });
}

/// Out of connections or descriptors: the next client waits a little, and nobody spins.
void Listener::pause() {
    pause_.expires_after(limits::accept_pause);
    pause_.async_wait([this, alive = std::weak_ptr(alive_)](std::error_code error) {
        if (!error && !alive.expired()) accept();
    });
}

void Listener::take(int fd, const sockaddr_storage& from) {
    Peer peer;
    if (spec_.is_unix()) {
        peer.name = "unix";
    } else {
        peer.name = host_text(from, peer);
        set_tcp_options(fd);
    }
    Shard& shard = shards_[next_shard_++ % shards_.shards()];
    auto place = std::make_shared<Place>();
    shard.post([&shard, fd, peer, place, family = from.ss_family,
                offer = Offer{spec_.exports, spec_.tls}] {
        const asio::generic::stream_protocol protocol(family, family == AF_UNIX ? 0 : IPPROTO_TCP);
        Connection::Socket socket(shard.io());
        std::error_code error;
        socket.assign(protocol, fd, error);
        if (error) {
            ::close(fd);
            spdlog::error("client {} can't be served: {}", peer.name, error.message());
            return;
        }
        auto connection =
            std::make_shared<PlacedConnection>(place, shard, std::move(socket), peer, offer);
        shard.add(connection);
        connection->start();
    });
}

}  // namespace server
