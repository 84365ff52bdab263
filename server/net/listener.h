#pragma once

#include <asio/generic/stream_protocol.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <sys/socket.h>
#include <memory>
#include <stdexcept>
#include <string>

#include "config/spec.h"
#include "server/net/connection.h"
#include "server/net/shards.h"

namespace server {

/// An address that can't be listened on. `in_use`: somebody else serves there.
struct ListenError : std::runtime_error {
    ListenError(const std::string& what, bool used) : std::runtime_error(what), in_use(used) {}
    bool in_use;
};

/// Accepts clients on one address and deals them out to the shards in turn. On the control thread.
class Listener {
  public:
    /// Binds and listens; a unix path that nobody answers on is taken over. Throws ListenError.
    Listener(asio::io_context& control, Shards& shards, config::ListenSpec spec);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    void start(std::shared_ptr<const ExportTable> exports);
    void stop();

    /// As a client would write it: "nbd://127.0.0.1:10809".
    std::string uri() const;

  private:
    void accept();
    void take(int fd, const sockaddr_storage& from);
    void pause();
    std::uint16_t port() const;

    asio::io_context& control_;
    Shards& shards_;
    config::ListenSpec spec_;
    asio::posix::stream_descriptor socket_;
    asio::steady_timer pause_;
    std::shared_ptr<const ExportTable> exports_;
    unsigned next_shard_ = 0;
};

}  // namespace server
