#pragma once

#include <sys/socket.h>
#include <asio/generic/stream_protocol.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "config/spec.h"
#include "server/net/connection.h"
#include "server/net/shards.h"
#include "server/net/sockets.h"

namespace server {

/// Accepts clients on one address and deals them out to the shards in turn. On the control thread.
class Listener {
  public:
    /// Binds and listens, but where `passed` does so already; a unix path that nobody answers on is
    /// taken over. Throws ListenError.
    Listener(asio::io_context& control, Shards& shards, config::ListenSpec spec, Socket passed);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    void start();
    void stop();
    const config::ListenSpec& spec() const noexcept { return spec_; }
    /// From the next client on.
    void offer(const config::ListenSpec& spec) {
        spec_.exports = spec.exports;
        spec_.tls = spec.tls;
    }

    /// As a client would write it: "nbd://127.0.0.1:10809", "nbds://..." where TLS is required.
    std::string uri() const;

  private:
    void accept();
    void take(int fd, const sockaddr_storage& from);
    void pause();

    Shards& shards_;
    config::ListenSpec spec_;
    const bool is_passed_;  // Then its path is not ours to remove.
    Socket listening_;      // Until socket_ has it.
    std::uint16_t port_;    // The one it got, where port 0 asked for any.
    asio::posix::stream_descriptor socket_;
    asio::steady_timer pause_;
    unsigned next_shard_ = 0;
    /// Goes with this object: a wait that ended well just before may run after it.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace server
