#include "bench/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace bench {
namespace {

constexpr std::size_t received_bytes = 64 * 1024;   // By one system call, if there is so much.
constexpr std::size_t given_bytes_max = 64 * 1024;  // At once: more would not stay in the cache.

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "load: %s: ", what);
    ERR_print_errors_fp(stderr);
    std::exit(1);
}

}  // namespace

Tls::Tls(int socket, const std::string& ca, const std::string& suite)
    : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION);
    SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context_, 1);
    SSL_CTX_set_default_read_buffer_len(context_, received_bytes);
    if (SSL_CTX_load_verify_locations(context_, ca.c_str(), nullptr) != 1) fail("the CA");
    if (!suite.empty() && SSL_CTX_set_ciphersuites(context_, suite.c_str()) != 1) fail("the suite");
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, socket);
    if (SSL_connect(ssl_) != 1) fail("the TLS handshake");
}

Tls::~Tls() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
}

std::ptrdiff_t Tls::failed(int result) {
    switch (SSL_get_error(ssl_, result)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
        case SSL_ERROR_ZERO_RETURN: return 0;
        default: fail("TLS");
    }
}

/// As many records as there are: those that OpenSSL has received already raise no event.
std::ptrdiff_t Tls::read(std::span<std::byte> to) {
    std::size_t done = 0;
    to = to.first(std::min(to.size(), given_bytes_max));
    while (done < to.size()) {
        std::size_t bytes = 0;
        ERR_clear_error();
        const int result = SSL_read_ex(ssl_, to.data() + done, to.size() - done, &bytes);
        if (result != 1) {
            const std::ptrdiff_t end = failed(result);
            return done > 0 ? static_cast<std::ptrdiff_t>(done) : end;
        }
        done += bytes;
    }
    return static_cast<std::ptrdiff_t>(done);
}

std::ptrdiff_t Tls::write(std::span<const std::byte> from) {
    std::size_t bytes = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_, from.data(), from.size(), &bytes);
    return result == 1 ? static_cast<std::ptrdiff_t>(bytes) : failed(result);
}

}  // namespace bench
