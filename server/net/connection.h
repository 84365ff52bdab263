#pragma once

#include <asio/generic/stream_protocol.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/cidr.h"
#include "config/spec.h"
#include "dmcore/clock.h"
#include "server/nbd/handshake.h"
#include "server/nbd/session.h"

namespace server {

class Export;
class Shard;
class TlsContext;
class TlsStream;

/// What the address that a client came to is for.
struct Offer {
    std::vector<std::string> exports;  // Empty: all.
    config::Tls tls = config::Tls::yes;
};

/// Where a connection came from, for logs, allow-lists and limits.
struct Peer {
    std::string name;                        // "127.0.0.1:40812", or "unix"
    std::optional<config::Address> address;  // None for unix sockets, which no allow-list concerns.
};

/// One client: its socket, then its handshake, then its session. Lives on one shard from accept on,
/// kept by it until the last of its requests has ended.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    using Socket = asio::generic::stream_protocol::socket;

    Connection(Shard& shard, Socket socket, Peer peer, Offer offer);
    virtual ~Connection();

    /// Sends the greeting. On the shard.
    void start();
    /// Asks for end_turn() in this turn.
    void attend() noexcept;
    /// Sends what there is, reads on if it may, ends if it is over. At the end of a turn.
    void end_turn();
    /// Takes what has come since its last turn; without any, waits for it. On behalf of the shard,
    /// after expect(). False: there was none.
    bool look();
    /// The shard saw the other side close while this was paused.
    void on_hangup();
    /// Closes now; what it asked for stays unanswered.
    void drop() { close("as the control API was told to"); }

    std::uint64_t id() const noexcept { return id_; }
    const Peer& peer() const noexcept { return peer_; }
    /// The export it uses; null while it negotiates.
    const Export* entered() const noexcept { return session_ == nullptr ? nullptr : export_.get(); }
    /// What it was told of that export when it entered.
    const nbd::ExportInfo& told() const noexcept { return *handshake_->granted_export(); }
    std::size_t requests_in_flight() const noexcept {
        return session_ == nullptr ? 0 : session_->in_flight();
    }
    bool closed() const noexcept { return closed_; }
    int descriptor() { return socket_.native_handle(); }
    /// It was paused by a bound of its session, which now leaves room.
    bool may_resume() const { return closed_ || session_->may_read(); }
    /// Closes it if its client is to move, to send a payload or to take replies, and has not for
    /// limits::stall_time. Those whose requests wait for a device are not to move.
    void drop_if_stalled();
    /// No more requests: closes when what is in flight has been answered.
    void drain();
    /// Closes now; a client that understands error texts hears that the server goes away.
    void give_up();

  private:
    class Offered;

    void wait_for_input();
    void expect_input();
    void on_readable();
    bool receive();
    void received(std::span<const std::byte> in);
    void negotiate(std::span<const std::byte> in);
    bool enter();
    ssize_t read_some(std::span<const iovec> room);
    ssize_t write_some(std::span<const iovec> pieces);
    std::string_view failure() const;
    void send();
    bool send_handshake();
    void start_tls();
    void wait_for_room();
    void pause();
    void read_on();
    bool hung_up();
    bool ends_with_disconnect();
    void close(std::string_view why);
    void retire();

    const std::uint64_t id_;  // Of this process, from 1.
    Shard& shard_;
    Socket socket_;
    Peer peer_;
    const std::shared_ptr<const TlsContext> tls_context_;  // Null: there is none.
    std::unique_ptr<TlsStream> tls_;                       // Null: it speaks in plaintext.
    std::unique_ptr<Offered> offered_;
    std::unique_ptr<nbd::Handshake> handshake_;
    nbd::Bytes handshake_output_;
    std::vector<std::byte> unread_;  // Received, but a bound of the session is reached.
    std::shared_ptr<const Export> export_;
    std::unique_ptr<nbd::Session> session_;
    dmcore::Timer handshake_timer_;
    dmcore::Time received_at_{};  // The last bytes, or since when it may send more.
    dmcore::Time sent_at_{};      // The last bytes, or since when there is no room for more.

    bool attended_ = false;
    bool paused_ = false;    // Its socket is not read: a bound of the session is reached.
    bool reading_ = false;   // A wait for input is under way...
    bool expected_ = false;  // ...or the shard will look.
    bool writing_ = false;   // A wait for room to send is under way.
    bool at_end_ = false;    // The client sends nothing more.
    bool giving_up_ = false;
    bool closed_ = false;
    bool counted_ = false;  // As a client of export_.
};

}  // namespace server
