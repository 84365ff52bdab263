#include "server/net/connection.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "server/exports.h"
#include "server/net/shard.h"
#include "server/net/sockets.h"
#include "server/net/tls_stream.h"

namespace server {
namespace {

std::atomic<std::uint64_t> last_id{0};

nbd::TlsMode tls_mode(config::Tls wanted, const TlsContext* context) {
    if (!has_tls()) return nbd::TlsMode::absent;
    if (wanted == config::Tls::require) return nbd::TlsMode::required;
    const bool offered = wanted == config::Tls::yes && context != nullptr;
    return offered ? nbd::TlsMode::offered : nbd::TlsMode::off;
}

}  // namespace

/// What this client may see: of its listener, and by the exports' own rules.
class Connection::Offered final : public nbd::ExportList {
  public:
    Offered(const Connection& owner, std::vector<std::string> names)
        : owner_(owner), names_(std::move(names)) {}

    std::shared_ptr<const nbd::ExportInfo> find(std::string_view name) const override {
        const auto found = owner_.shard_.exports().find(name);
        if (found == nullptr || !offers(*found)) return nullptr;
        return std::make_shared<nbd::ExportInfo>(found->info(owner_.shard_.index()));
    }

    std::vector<std::shared_ptr<const nbd::ExportInfo>> list() const override {
        std::vector<std::shared_ptr<const nbd::ExportInfo>> infos;
        for (const auto& each : owner_.shard_.exports().all()) {
            if (!offers(*each)) continue;
            infos.push_back(std::make_shared<nbd::ExportInfo>(each->info(owner_.shard_.index())));
        }
        return infos;
    }

    std::optional<nbd::Identity> identify(std::string_view name) const override {
        const auto found = owner_.shard_.exports().find(name);
        if (found == nullptr) return std::nullopt;
        return found->identity(owner_.shard_.index());
    }

  private:
    bool offers(const Export& one) const {
        const bool named = names_.empty() ||
                           std::find(names_.begin(), names_.end(), one.spec().name) != names_.end();
        return named && one.admits(owner_.peer_.address);
    }

    const Connection& owner_;
    std::vector<std::string> names_;
};

Connection::Connection(Shard& shard, Socket socket, Peer peer, Offer offer)
    : id_(++last_id),
      shard_(shard),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      tls_context_(shard.tls()),
      offered_(std::make_unique<Offered>(*this, std::move(offer.exports))),
      handshake_(
          std::make_unique<nbd::Handshake>(*offered_, tls_mode(offer.tls, tls_context_.get()))),
      handshake_timer_(
          [](void* self) noexcept {
              static_cast<Connection*>(self)->close("no handshake within its time");
          },
          this) {}

Connection::~Connection() {
    if (counted_) export_->leave();
}

void Connection::start() {
    const auto greeting = nbd::Handshake::greeting();
    handshake_output_.assign(greeting.begin(), greeting.end());
    shard_.arm(handshake_timer_, shard_.now() + limits::handshake_time);
    wait_for_input();
    attend();
}

void Connection::attend() noexcept {
    if (attended_) return;
    attended_ = true;
    shard_.attend(*this);
}

void Connection::wait_for_input() {
    if (reading_ || at_end_ || closed_) return;
    reading_ = true;
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](std::error_code error) {
        self->reading_ = false;
        if (!error && !self->closed_) self->on_readable();
    });
}

/// The next request often comes while the last one is answered: the shard looks before it sleeps.
void Connection::expect_input() {
    if (expected_ || reading_) return;
    expected_ = true;
    shard_.expect(*this);
}

void Connection::on_readable() {
    if (session_ == nullptr || session_->may_read()) receive();
    attend();
}

bool Connection::look() {
    expected_ = false;
    if (reading_ || at_end_ || closed_) return false;
    const bool full = session_ != nullptr && !session_->may_read();
    if (full || receive()) {
        attend();
        return true;
    }
    wait_for_input();
    return false;
}

/// One receive call: payload goes straight to its request, what follows to the shard's scratch.
/// False: there is nothing yet.
bool Connection::receive() {
    const std::span<std::byte> room =
        session_ == nullptr ? std::span<std::byte>{} : session_->payload_room();
    const std::span<std::byte> scratch = shard_.receive_buffer().first(
        tls_ == nullptr ? limits::plain_receive_bytes : limits::receive_bytes);
    std::array<iovec, 2> pieces{{{room.data(), room.size()}, {scratch.data(), scratch.size()}}};
    const ssize_t got = read_some(pieces);
    if (would_block(got)) return false;
    if (got <= 0) {
        at_end_ = true;
        const bool leaving = session_ != nullptr && session_->leaving();
        if (!leaving) close(got < 0 ? failure() : "");
        return true;
    }
    received_at_ = shard_.now();
    const auto bytes = static_cast<std::size_t>(got);
    const std::size_t payload = std::min(bytes, room.size());
    if (payload > 0) session_->payload_arrived(payload);
    if (bytes > payload) {
        const std::span<const std::byte> in = scratch.first(bytes - payload);
        const std::span<const std::byte> rest = in.subspan(take(in));
        unread_.assign(rest.begin(), rest.end());
    }
    return true;
}

/// How many bytes of `in` are done with.
std::size_t Connection::take(std::span<const std::byte> in) {
    return session_ == nullptr ? negotiate(in) : session_->feed(in);
}

std::size_t Connection::negotiate(std::span<const std::byte> in) {
    using nbd::Handshake;
    const std::size_t taken = handshake_->feed(in, handshake_output_);
    switch (handshake_->state()) {
        case Handshake::State::negotiating: return taken;       // Paused until its output is sent.
        case Handshake::State::starting_tls: return in.size();  // Once its output is sent.
        case Handshake::State::transmission:
            return enter() ? taken + take(in.subspan(taken)) : in.size();
        case Handshake::State::aborted:
        case Handshake::State::dropped: break;
    }
    send_handshake();
    close(handshake_->reason());
    return in.size();
}

bool Connection::enter() {
    shard_.disarm(handshake_timer_);
    export_ = shard_.exports().find(handshake_->granted_export()->name);
    counted_ = export_->enter();
    if (!counted_) {
        close("its export is full");
        return false;
    }
    session_ = std::make_unique<nbd::Session>(
        export_->device().mapped.lane(shard_.index()), *handshake_->granted_export(),
        handshake_->terms(), shard_.resources(),
        [](void* self) noexcept { static_cast<Connection*>(self)->attend(); }, this);
    session_->count_in(export_->counts(shard_.index()), shard_);
    shard_.tell_client(*this, "connected");
    spdlog::debug("client {} entered export '{}'", peer_.name, export_->spec().name);
    return true;
}

void Connection::end_turn() {
    attended_ = false;
    if (closed_) {
        retire();
        return;
    }
    send();
    if (giving_up_) close("the server is going away");
    const bool negotiating = session_ == nullptr;
    if (closed_ || (negotiating && !handshake_output_.empty())) return;
    if (negotiating || session_->may_read()) {
        read_on();
    } else {
        pause();
    }
    if (closed_ || session_ == nullptr) return;
    if (!session_->fault().empty()) {
        close(session_->fault());
    } else if (session_->leaving() && session_->idle() && !writing_) {
        close("");
    }
}

/// A client that goes away while its socket is not read is noticed by the shard [O-2].
void Connection::pause() {
    if (paused_) return;
    paused_ = true;
    shard_.pause(*this);
}

/// First what was received and could not be taken, then the socket.
void Connection::read_on() {
    if (paused_) {
        paused_ = false;
        received_at_ = shard_.now();
        shard_.resume(*this);
        if (hung_up()) {
            close("the client is gone");
            return;
        }
    }
    const std::span<const std::byte> rest = unread();
    if (rest.empty() && (session_ == nullptr || !session_->waits())) {
        expect_input();
        return;
    }
    unread_at_ += take(rest);
    if (unread().empty()) {
        unread_.clear();
        unread_at_ = 0;
    }
    attend();
}

void Connection::send() {
    if (writing_) return;
    if (session_ == nullptr || !handshake_output_.empty()) {
        if (!send_handshake() || session_ == nullptr) return;
    }
    std::array<iovec, limits::send_pieces> pieces;
    for (;;) {
        const std::size_t count = session_->output(pieces);
        if (count == 0) break;
        const ssize_t sent = write_some(std::span(pieces).first(count));
        if (would_block(sent)) return wait_for_room();
        if (sent < 0) return close(failure());
        session_->sent(static_cast<std::size_t>(sent));
        attend();  // What was sent has made room to read.
    }
    if (tls_ != nullptr && !tls_->flush()) wait_for_room();
}

/// True once all of it has gone.
bool Connection::send_handshake() {
    while (!handshake_output_.empty()) {
        const iovec all{handshake_output_.data(), handshake_output_.size()};
        const ssize_t sent = write_some({&all, 1});
        if (would_block(sent)) {
            wait_for_room();
            return false;
        }
        if (sent < 0) {
            close(failure());
            return false;
        }
        handshake_output_.erase(handshake_output_.begin(), handshake_output_.begin() + sent);
    }
    if (tls_ != nullptr && !tls_->flush()) wait_for_room();
    if (handshake_->state() == nbd::Handshake::State::starting_tls) start_tls();
    return true;
}

/// What has been sent so far was the last in plaintext.
void Connection::start_tls() {
    if (tls_context_ == nullptr) return close("TLS is required here, but is not configured");
    tls_ = std::make_unique<TlsStream>(tls_context_, socket_.native_handle(), shard_.tls_scratch());
    handshake_->tls_started();
}

/// As readv(), and writev(): the socket, or TLS over it.
ssize_t Connection::read_some(std::span<const iovec> room) {
    if (tls_ != nullptr) return tls_->read(room);
    return ::readv(socket_.native_handle(), room.data(), static_cast<int>(room.size()));
}

ssize_t Connection::write_some(std::span<const iovec> pieces) {
    if (tls_ != nullptr) return tls_->write(pieces);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    return ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
}

/// Why one of them has just failed.
std::string_view Connection::failure() const {
    if (tls_ != nullptr && errno == EPROTO) return tls_->trouble();
    return std::strerror(errno);
}

void Connection::wait_for_room() {
    writing_ = true;
    sent_at_ = shard_.now();
    socket_.async_wait(Socket::wait_write, [self = shared_from_this()](std::error_code error) {
        self->writing_ = false;
        if (!error && !self->closed_) self->attend();
    });
}

bool Connection::hung_up() {
    pollfd fd{socket_.native_handle(), POLLRDHUP, 0};
    if (::poll(&fd, 1, 0) <= 0) return false;
    return !ends_with_disconnect();
}

/// Is the last thing that the client sent a DISC? Then it may have closed its half on purpose. It
/// may have come in parts: to the session, to unread_, and to the socket. Through TLS what is there
/// can't be looked at without being taken.
bool Connection::ends_with_disconnect() {
    const std::span<std::byte> scratch = shard_.receive_buffer();
    int waiting = 0;
    if (::ioctl(socket_.native_handle(), FIONREAD, &waiting) != 0) return false;
    auto bytes = static_cast<std::size_t>(waiting);
    if (bytes > scratch.size()) return false;
    if (tls_ != nullptr) {
        const iovec room{scratch.data(), scratch.size()};
        for (ssize_t got; (got = tls_->read({&room, 1})) > 0;) {
            unread_.insert(unread_.end(), scratch.begin(), scratch.begin() + got);
        }
        bytes = 0;
    } else if (bytes > 0 && ::recv(socket_.native_handle(), scratch.data(), bytes,
                                   MSG_PEEK | MSG_DONTWAIT) != waiting) {
        return false;
    }
    const auto begun = session_->begun_header();
    std::vector<std::byte> all(begun.begin(), begun.end());
    all.insert(all.end(), unread().begin(), unread().end());
    all.insert(all.end(), scratch.begin(), scratch.begin() + static_cast<std::ptrdiff_t>(bytes));
    return nbd::ends_with_disconnect(all, session_->form());
}

void Connection::on_hangup() {
    if (!closed_ && hung_up()) close("the client is gone");
}

void Connection::drop_if_stalled() {
    if (closed_ || session_ == nullptr) return;
    const dmcore::Time latest = shard_.now() - limits::stall_time;
    if (writing_ && sent_at_ <= latest) {
        close("it takes no replies, and memory for others runs short");
    } else if (session_->awaits_payload() && received_at_ <= latest) {
        close("it does not send the data it has announced, and memory for others runs short");
    }
}

void Connection::drain() {
    if (closed_) return;
    if (session_ == nullptr) {
        close("");
        return;
    }
    session_->drain();
    attend();
}

void Connection::give_up() {
    if (closed_) return;
    if (session_ != nullptr && session_->form() != nbd::Form::simple) {
        session_->shut_down();
        shard_.abandon(session_->origin());
    }
    giving_up_ = true;  // Closed at the end of the turn, behind what has just ended.
    attend();
}

void Connection::close(std::string_view why) {
    if (closed_) return;
    closed_ = true;
    if (!why.empty()) shard_.tell_drop(peer_.name, why);
    shard_.disarm(handshake_timer_);
    if (paused_) shard_.resume(*this);
    paused_ = false;
    if (tls_ != nullptr) tls_->say_goodbye();
    // Unread bytes at close() would turn into a reset that may cost the client its last replies.
    for (int i = 0; i < limits::unread_receives_max; ++i) {
        const auto scratch = shard_.receive_buffer();
        if (::recv(socket_.native_handle(), scratch.data(), scratch.size(), MSG_DONTWAIT) <= 0)
            break;
    }
    std::error_code ignored;
    socket_.shutdown(Socket::shutdown_both, ignored);
    socket_.close(ignored);
    if (session_ != nullptr) {
        session_->die();
        shard_.abandon(session_->origin());
    }
    attend();
}

/// The last reference of the shard goes when nothing of the session is below any more.
void Connection::retire() {
    if (session_ != nullptr && !session_->idle()) return;
    if (session_ != nullptr) shard_.tell_client(*this, "gone");
    shard_.remove(shared_from_this());
}

}  // namespace server
