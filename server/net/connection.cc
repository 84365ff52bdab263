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

namespace server {
namespace {

std::atomic<std::uint64_t> last_id{0};

bool would_block(ssize_t result) noexcept {
    return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/// Is the last thing that the client sent a DISC? Then it may have closed its half on purpose.
/// `unread` has been received before what is still in the socket.
bool says_goodbye(int fd, std::span<const std::byte> unread, std::span<std::byte> scratch,
                  nbd::Form form) {
    int waiting = 0;
    if (::ioctl(fd, FIONREAD, &waiting) != 0) return false;
    if (waiting == 0) return nbd::ends_with_disconnect(unread, form);
    const auto bytes = static_cast<std::size_t>(waiting);
    if (bytes > scratch.size()) return false;
    if (::recv(fd, scratch.data(), bytes, MSG_PEEK | MSG_DONTWAIT) != waiting) return false;
    return nbd::ends_with_disconnect(scratch.first(bytes), form);
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

Connection::Connection(Shard& shard, Socket socket, Peer peer, std::vector<std::string> offered)
    : id_(++last_id),
      shard_(shard),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      offered_(std::make_unique<Offered>(*this, std::move(offered))),
      handshake_(std::make_unique<nbd::Handshake>(*offered_)),
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
    const std::span<std::byte> scratch = shard_.receive_buffer();
    std::array<iovec, 2> pieces{{{room.data(), room.size()}, {scratch.data(), scratch.size()}}};
    const ssize_t got = ::readv(socket_.native_handle(), pieces.data(), 2);
    if (would_block(got)) return false;
    if (got <= 0) {
        at_end_ = true;
        const bool leaving = session_ != nullptr && session_->leaving();
        if (!leaving) close(got < 0 ? std::strerror(errno) : "");
        return true;
    }
    received_at_ = shard_.now();
    const auto bytes = static_cast<std::size_t>(got);
    const std::size_t payload = std::min(bytes, room.size());
    if (payload > 0) session_->payload_arrived(payload);
    if (bytes > payload) received(scratch.first(bytes - payload));
    return true;
}

void Connection::received(std::span<const std::byte> in) {
    if (session_ == nullptr) {
        negotiate(in);
        return;
    }
    const std::size_t taken = session_->feed(in);
    unread_.assign(in.begin() + static_cast<std::ptrdiff_t>(taken), in.end());
}

void Connection::negotiate(std::span<const std::byte> in) {
    using State = nbd::Handshake::State;
    const std::size_t taken = handshake_->feed(in, handshake_output_);
    const std::span<const std::byte> rest = in.subspan(taken);
    switch (handshake_->state()) {
        case State::negotiating:
            unread_.assign(rest.begin(), rest.end());  // Paused until its output is sent.
            return;
        case State::transmission:
            if (enter()) received(rest);
            return;
        case State::aborted:
        case State::dropped:
            send_handshake();
            close(handshake_->reason());
            return;
    }
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
    } else if (session_->leaving() && session_->idle()) {
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
    if (unread_.empty() && (session_ == nullptr || !session_->waits())) {
        expect_input();
        return;
    }
    std::vector<std::byte> again;
    again.swap(unread_);
    received(again);
    attend();
}

void Connection::send() {
    if (writing_) return;
    if (session_ == nullptr || !handshake_output_.empty()) {
        if (!send_handshake() || session_ == nullptr) return;
    }
    std::array<iovec, limits::send_pieces> pieces;
    for (;;) {
        msghdr message{};
        message.msg_iov = pieces.data();
        message.msg_iovlen = session_->output(pieces);
        if (message.msg_iovlen == 0) return;
        const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
        if (would_block(sent)) return wait_for_room();
        if (sent < 0) return close(std::strerror(errno));
        session_->sent(static_cast<std::size_t>(sent));
        attend();  // What was sent has made room to read.
    }
}

/// True once all of it has gone.
bool Connection::send_handshake() {
    while (!handshake_output_.empty()) {
        const ssize_t sent = ::send(socket_.native_handle(), handshake_output_.data(),
                                    handshake_output_.size(), MSG_NOSIGNAL);
        if (would_block(sent)) {
            wait_for_room();
            return false;
        }
        if (sent < 0) {
            close(std::strerror(errno));
            return false;
        }
        handshake_output_.erase(handshake_output_.begin(), handshake_output_.begin() + sent);
    }
    return true;
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
    return !says_goodbye(fd.fd, unread_, shard_.receive_buffer(), session_->form());
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
