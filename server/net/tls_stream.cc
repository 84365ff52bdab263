#include "server/net/tls_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>

#include "server/limits.h"
#include "server/net/sockets.h"
#include "server/net/tls_records.h"

namespace server {
namespace {

// What is received may end a record that began before: all of it must fit the caller's room.
constexpr std::size_t received_bytes = limits::receive_bytes - 2 * limits::tls_record_bytes;

/// A client may have asked for less than there can be (RFC 6066, 4).
std::size_t record_bytes_max(const SSL* ssl) {
    const unsigned code = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl));
    return code == 0 ? limits::tls_record_bytes : std::size_t{256} << code;
}

}  // namespace

/// OpenSSL's way to the socket: by the scratch of the shard, so that one system call serves many
/// records.
struct TlsStream::Bio {
    static TlsStream& stream(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

    /// The end of the input is told as nothing for now: output may still follow.
    static int read(BIO* bio, char* to, int bytes_max) {
        TlsStream& self = stream(bio);
        BIO_clear_retry_flags(bio);
        if (self.input_.empty() && !self.receive()) {
            BIO_set_retry_read(bio);
            return -1;
        }
        const std::size_t bytes = std::min(self.input_.size(), static_cast<std::size_t>(bytes_max));
        std::memcpy(to, self.input_.data(), bytes);
        self.input_ = self.input_.subspan(bytes);
        return static_cast<int>(bytes);
    }

    static int write(BIO* bio, const char* data, int bytes) {
        TlsScratch& scratch = stream(bio).scratch_;
        if (stream(bio).finished_) return bytes;  // In records that we make ourselves.
        const auto count = static_cast<std::size_t>(bytes);
        if (count > scratch.encrypted.size() - scratch.encrypted_bytes) return -1;
        std::memcpy(scratch.encrypted.data() + scratch.encrypted_bytes, data, count);
        scratch.encrypted_bytes += count;
        return bytes;
    }

    static long control(BIO*, int command, long, void*) {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    /// What the client says in its handshake, and in what may follow; OpenSSL's alerts.
    static void message(int sent, int, int type, const void* data, std::size_t bytes, SSL* ssl,
                        void* self) {
        if (bytes == 0 || SSL_version(ssl) != TLS1_3_VERSION) return;
        const std::span text(static_cast<const unsigned char*>(data), bytes);
        if (sent == 0 && type == SSL3_RT_HANDSHAKE) static_cast<TlsStream*>(self)->heard(text);
        if (sent != 0 && type == SSL3_RT_ALERT) static_cast<TlsStream*>(self)->said(text);
    }

    static BIO_METHOD* method() {
        static BIO_METHOD* const made = [] {
            BIO_METHOD* one = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "shard");
            if (one == nullptr) throw std::bad_alloc();
            BIO_meth_set_read(one, read);
            BIO_meth_set_write(one, write);
            BIO_meth_set_ctrl(one, control);
            return one;
        }();
        return made;
    }
};

void TlsStream::Free::operator()(ssl_st* ssl) const noexcept {
    SSL_free(ssl);
}

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context, int socket, TlsScratch& scratch)
    : context_(std::move(context)),
      socket_(socket),
      scratch_(scratch),
      ssl_(SSL_new(context_->get())) {
    BIO* bio = BIO_new(Bio::method());
    if (ssl_ == nullptr || bio == nullptr) throw std::bad_alloc();
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_accept_state(ssl_.get());
    SSL_set_app_data(ssl_.get(), &secret_);  // The context puts it there.
    SSL_set_msg_callback(ssl_.get(), Bio::message);
    SSL_set_msg_callback_arg(ssl_.get(), this);
    scratch_.received.resize(received_bytes);
    scratch_.record.resize(limits::tls_record_bytes);
    scratch_.encrypted.resize(limits::tls_unsent_bytes_max);
}

TlsStream::~TlsStream() = default;

/// True if there is input now.
bool TlsStream::receive() {
    if (!may_receive_) return false;
    may_receive_ = false;
    const ssize_t got =
        ::recv(socket_, scratch_.received.data(), scratch_.received.size(), MSG_DONTWAIT);
    if (got > 0) input_ = std::span(scratch_.received).first(static_cast<std::size_t>(got));
    if (got == 0) at_end_ = true;
    if (got < 0 && !would_block(got)) error_ = errno;
    return got > 0;
}

ssize_t TlsStream::read(std::span<const iovec> room) {
    std::size_t got = 0;
    may_receive_ = true;
    for (const iovec& piece : room) {
        if (error_ != 0) break;
        const std::size_t bytes =
            read_piece({static_cast<std::byte*>(piece.iov_base), piece.iov_len});
        got += bytes;
        if (bytes < piece.iov_len) break;
    }
    input_ = {};
    if (new_key_ && makes_records()) change_key();
    send_encrypted();  // Of the handshake, an alert, a new key.
    if (got > 0) return static_cast<ssize_t>(got);
    if (error_ == 0 && at_end_) return 0;
    errno = error_ == 0 ? EAGAIN : error_;
    return -1;
}

/// As much as there is.
std::size_t TlsStream::read_piece(std::span<std::byte> to) {
    std::size_t done = 0;
    while (done < to.size()) {
        std::size_t bytes = 0;
        ERR_clear_error();
        const int result = SSL_read_ex(ssl_.get(), to.data() + done, to.size() - done, &bytes);
        if (result != 1) {
            fail(result);
            break;
        }
        done += bytes;
    }
    return done;
}

void TlsStream::fail(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ: return;
        case SSL_ERROR_ZERO_RETURN: at_end_ = true; return;
        default: break;
    }
    fail();
    if (alert_[0] != std::byte{0} && makes_records()) seal(alert_, SSL3_RT_ALERT);
    alert_ = {};
}

/// By OpenSSL.
void TlsStream::fail() {
    if (error_ != 0) return;
    error_ = EPROTO;
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    trouble_ = "TLS: " + std::string(reason == nullptr ? "no reason is known" : reason);
}

/// A message of the client's handshake, by TLS 1.3.
void TlsStream::heard(std::span<const unsigned char> message) {
    if (message[0] == SSL3_MT_FINISHED) finished_ = true;
    if (message[0] == SSL3_MT_KEY_UPDATE && message.back() == SSL_KEY_UPDATE_REQUESTED) {
        new_key_ = true;
    }
}

/// An alert of OpenSSL's. Behind the handshake it went nowhere.
void TlsStream::said(std::span<const unsigned char> alert) {
    if (finished_ && alert.size() == alert_.size()) {
        std::ranges::copy(std::as_bytes(alert), alert_.begin());
    }
}

/// Do we, instead of OpenSSL? By TLS 1.3, behind the handshake.
bool TlsStream::makes_records() {
    if (!finished_) return false;
    if (records_ == nullptr) {
        records_ = std::make_unique<TlsRecords>(ssl_.get(), std::move(secret_));
    }
    return true;
}

/// Tells the client, who need not do the same.
void TlsStream::change_key() {
    constexpr std::byte key_update[] = {std::byte{SSL3_MT_KEY_UPDATE}, {}, {}, std::byte{1}, {}};
    new_key_ = false;
    if (!seal(key_update, SSL3_RT_HANDSHAKE) || !records_->key().next()) fail();
}

ssize_t TlsStream::write(std::span<const iovec> pieces) {
    std::size_t taken = 0;
    if (!flush()) {
        errno = EAGAIN;
        return -1;
    }
    if (error_ == 0 && makes_records() && records_->key().worn()) change_key();
    if (error_ == 0) taken = makes_records() ? seal_all(pieces) : encrypt_all(pieces);
    send_encrypted();
    if (error_ == 0) return static_cast<ssize_t>(taken);
    errno = error_;
    return -1;
}

/// Full records, but for the last, from where the pieces lie.
std::size_t TlsStream::seal_all(std::span<const iovec> pieces) {
    std::size_t left = 0;
    for (const iovec& piece : pieces) left += piece.iov_len;
    left = std::min(left, limits::tls_batch_bytes);
    const std::size_t taken = left;
    const std::size_t most = record_bytes_max(ssl_.get());
    std::span<const std::byte> rest;
    while (left > 0) {
        std::size_t missing = std::min(left, most);
        left -= missing;
        std::byte* const to = scratch_.encrypted.data() + scratch_.encrypted_bytes;
        bool good = records_->begin(to, missing);
        while (good && missing > 0) {
            while (rest.empty()) {
                rest = {static_cast<const std::byte*>(pieces[0].iov_base), pieces[0].iov_len};
                pieces = pieces.subspan(1);
            }
            const auto part = rest.first(std::min(rest.size(), missing));
            good = records_->add(part);
            rest = rest.subspan(part.size());
            missing -= part.size();
        }
        const std::size_t bytes = good ? records_->end(SSL3_RT_APPLICATION_DATA) : 0;
        scratch_.encrypted_bytes += bytes;
        if (bytes == 0) {
            fail();
            break;
        }
    }
    return taken;
}

/// A message of TLS itself.
bool TlsStream::seal(std::span<const std::byte> message, unsigned char type) {
    std::byte* const to = scratch_.encrypted.data() + scratch_.encrypted_bytes;
    if (!records_->begin(to, message.size()) || !records_->add(message)) return false;
    const std::size_t bytes = records_->end(type);
    scratch_.encrypted_bytes += bytes;
    return bytes > 0;
}

/// By TLS 1.2. Small pieces, as heads of replies and what is left of data, share records; the rest
/// is encrypted from where it lies.
std::size_t TlsStream::encrypt_all(std::span<const iovec> pieces) {
    constexpr std::size_t record_bytes = limits::tls_record_bytes;
    std::size_t taken = 0;
    std::size_t shared = 0;  // In the record that is being put together.
    for (const iovec& piece : pieces) {
        std::span rest(static_cast<const std::byte*>(piece.iov_base), piece.iov_len);
        rest = rest.first(std::min(rest.size(), limits::tls_batch_bytes - taken));
        taken += rest.size();
        while (!rest.empty()) {
            if (shared == 0 && rest.size() >= record_bytes) {
                if (!encrypt(rest.first(record_bytes))) return taken;
                rest = rest.subspan(record_bytes);
                continue;
            }
            const std::size_t bytes = std::min(rest.size(), record_bytes - shared);
            std::memcpy(scratch_.record.data() + shared, rest.data(), bytes);
            rest = rest.subspan(bytes);
            shared += bytes;
            if (shared < record_bytes) continue;
            if (!encrypt(scratch_.record)) return taken;
            shared = 0;
        }
    }
    if (shared > 0) encrypt(std::span(scratch_.record).first(shared));
    return taken;
}

bool TlsStream::encrypt(std::span<const std::byte> bytes) {
    std::size_t written = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
    if (result != 1) fail(result);
    return result == 1;
}

/// What the socket does not take waits, if there is not too much of it: a client that makes TLS
/// answer and does not read is not worth more.
void TlsStream::send_encrypted() {
    const bool all_sent = flush();
    auto rest = std::span(scratch_.encrypted).first(scratch_.encrypted_bytes);
    scratch_.encrypted_bytes = 0;
    if (rest.empty()) return;
    if (all_sent) {
        const ssize_t sent = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent < 0 && !would_block(sent)) {
            if (error_ == 0) error_ = errno;
            return;
        }
        rest = rest.subspan(sent < 0 ? 0 : static_cast<std::size_t>(sent));
    }
    if (unsent_.size() - unsent_at_ + rest.size() > limits::tls_unsent_bytes_max) {
        error_ = EPROTO;
        trouble_ = "TLS: it does not read what it is sent";
        return;
    }
    unsent_.insert(unsent_.end(), rest.begin(), rest.end());
}

bool TlsStream::flush() {
    while (unsent_at_ < unsent_.size()) {
        const auto rest = std::span(unsent_).subspan(unsent_at_);
        const ssize_t sent = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (would_block(sent)) return false;
        if (sent < 0 && error_ == 0) error_ = errno;
        if (sent < 0) break;
        unsent_at_ += static_cast<std::size_t>(sent);
    }
    unsent_.clear();
    unsent_at_ = 0;
    return true;
}

void TlsStream::say_goodbye() {
    if (error_ != 0 || SSL_is_init_finished(ssl_.get()) == 0) return;
    ERR_clear_error();
    if (makes_records()) {
        constexpr std::byte close_notify[] = {std::byte{SSL3_AL_WARNING},
                                              std::byte{SSL3_AD_CLOSE_NOTIFY}};
        if (!seal(close_notify, SSL3_RT_ALERT)) return;
    } else {
        SSL_shutdown(ssl_.get());
    }
    send_encrypted();
}

}  // namespace server
