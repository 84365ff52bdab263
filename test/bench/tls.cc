#include "bench/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "server/net/tls_records.h"

namespace bench {
namespace {

using server::RecordCipher;
using server::TrafficKey;

constexpr std::size_t received_bytes = 256 * 1024;  // By one system call, if there is so much.
constexpr std::size_t given_bytes_max = 64 * 1024;  // At once: more would not stay in the cache.
constexpr std::size_t head_bytes = server::TlsRecords::head_bytes;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "load: %s: ", what);
    ERR_print_errors_fp(stderr);
    std::exit(1);
}

void keep_secret(const SSL* ssl, const char* line) {
    if (auto secret = TrafficKey::server_secret(line)) {
        *static_cast<server::Secret*>(SSL_get_app_data(ssl)) = std::move(*secret);
    }
}

unsigned char* raw(std::byte* bytes) {
    return reinterpret_cast<unsigned char*>(bytes);
}

/// Of the record that begins here, all of it; 0: so much is not here yet.
std::size_t record_bytes(std::span<const std::byte> in) {
    if (in.size() < head_bytes) return 0;
    const std::size_t bytes = head_bytes + (std::to_integer<std::size_t>(in[3]) << 8) +
                              std::to_integer<std::size_t>(in[4]);
    return bytes <= in.size() ? bytes : 0;
}

}  // namespace

Tls::Tls(int socket, const std::string& ca, const std::string& suite)
    : context_(SSL_CTX_new(TLS_client_method())), socket_(socket), received_(received_bytes) {
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION);
    SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_keylog_callback(context_, keep_secret);
    if (SSL_CTX_load_verify_locations(context_, ca.c_str(), nullptr) != 1) fail("the CA");
    if (!suite.empty() && SSL_CTX_set_ciphersuites(context_, suite.c_str()) != 1) fail("the suite");
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, socket);
    SSL_set_app_data(ssl_, &secret_);
    if (SSL_connect(ssl_) != 1) fail("the TLS handshake");
    key_ = std::make_unique<TrafficKey>(ssl_, std::move(secret_));
}

Tls::~Tls() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
}

/// False: there is nothing now.
bool Tls::receive() {
    const std::size_t rest = unopened_.size();
    std::ranges::copy(unopened_, received_.begin());
    const ssize_t got = ::recv(socket_, received_.data() + rest, received_.size() - rest, 0);
    if (got < 0 && errno != EAGAIN && errno != EINTR) fail("receive");
    at_end_ = got == 0;
    unopened_ = std::span(received_).first(rest + (got > 0 ? static_cast<std::size_t>(got) : 0));
    return got > 0;
}

/// The next record, where it lies. These ciphers add the same to what they encrypt and decrypt.
void Tls::open(std::span<std::byte> record) {
    if (record.size() < head_bytes + RecordCipher::tag_bytes) fail("a record that holds nothing");
    std::byte* const text = record.data() + head_bytes;
    std::size_t count = record.size() - head_bytes - RecordCipher::tag_bytes;
    const bool good = key_->begin({raw(record.data()), head_bytes}) &&
                      key_->cipher().add({raw(text), count}, raw(text));
    if (!good) fail("a record");
    while (count > 0 && text[count - 1] == std::byte{0}) --count;
    switch (count > 0 ? std::to_integer<int>(text[--count]) : 0) {
        case SSL3_RT_APPLICATION_DATA: opened_ = {text, count}; return;
        case SSL3_RT_HANDSHAKE:  // A ticket, or that another key follows.
            if (text[0] == std::byte{SSL3_MT_KEY_UPDATE} && !key_->next()) fail("a key");
            return;
        case SSL3_RT_ALERT: at_end_ = true; return;
        default: fail("a record of no type");
    }
}

std::ptrdiff_t Tls::read(std::span<std::byte> to) {
    std::size_t done = 0;
    to = to.first(std::min(to.size(), given_bytes_max));
    while (done < to.size() && !at_end_) {
        if (opened_.empty()) {
            const std::size_t bytes = record_bytes(unopened_);
            if (bytes == 0 && (done > 0 || !receive())) break;
            if (bytes == 0) continue;
            open(unopened_.first(bytes));
            unopened_ = unopened_.subspan(bytes);
        }
        const auto part = opened_.first(std::min(opened_.size(), to.size() - done));
        std::ranges::copy(part, to.begin() + static_cast<std::ptrdiff_t>(done));
        opened_ = opened_.subspan(part.size());
        done += part.size();
    }
    if (done > 0) return static_cast<std::ptrdiff_t>(done);
    errno = EAGAIN;
    return at_end_ ? 0 : -1;
}

std::ptrdiff_t Tls::write(std::span<const std::byte> from) {
    std::size_t bytes = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_, from.data(), from.size(), &bytes);
    if (result == 1) return static_cast<std::ptrdiff_t>(bytes);
    if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_WRITE) fail("send");
    errno = EAGAIN;
    return -1;
}

}  // namespace bench
