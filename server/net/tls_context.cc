#include "server/net/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <new>
#include <string>

#include "server/net/fast_gcm.h"
#include "server/net/psk_file.h"
#include "server/net/traffic_key.h"

namespace server {
namespace {

using config::TlsSpec;
using config::TlsTrouble;

/// Those that TlsRecords knows, whatever the system's configuration allows besides.
constexpr const char* suites =
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";

/// For PSK, whose keys go with SHA-256: a client that prefers a suite with another hash would be
/// left without a key, and where there is a certificate, be asked to take that.
constexpr const char* psk_suites =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
constexpr unsigned char psk_suite[] = {0x13, 0x01};  // TLS_AES_128_GCM_SHA256

/// What OpenSSL says of its last failure.
std::string reason() {
    const char* text = ERR_reason_error_string(ERR_peek_last_error());
    return text == nullptr ? "no reason is known" : text;
}

[[noreturn]] void fail(const config::Position& at, const char* key, const std::string& path,
                       const std::string& what, const std::string& help) {
    throw TlsTrouble{at,
                     {"bad-tls-file",
                      "tls: " + std::string(key) + ' ' + config::in_quotes(path) + ": " + what,
                      {},
                      help}};
}

const PreSharedKeys& keys_of(SSL* ssl) {
    return *static_cast<const PreSharedKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
}

/// TLS 1.2. 0: there is no such client.
unsigned find_key(SSL* ssl, const char* identity, unsigned char* to, unsigned bytes_max) {
    const PreSharedKeys& keys = keys_of(ssl);
    const auto found = keys.find(std::string_view(identity));
    if (found == keys.end() || found->second.size() > bytes_max) return 0;
    std::copy(found->second.begin(), found->second.end(), to);
    return static_cast<unsigned>(found->second.size());
}

/// TLS 1.3. Success without a session: there is no such client, who may go on with a certificate.
int find_session(SSL* ssl, const unsigned char* identity, std::size_t bytes, SSL_SESSION** to) {
    *to = nullptr;
    const PreSharedKeys& keys = keys_of(ssl);
    const auto found = keys.find(std::string_view(reinterpret_cast<const char*>(identity), bytes));
    if (found == keys.end()) return 1;
    SSL_SESSION* session = SSL_SESSION_new();
    const auto& key = found->second;
    const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, psk_suite);
    if (session != nullptr && cipher != nullptr &&
        SSL_SESSION_set1_master_key(session, key.data(), key.size()) == 1 &&
        SSL_SESSION_set_cipher(session, cipher) == 1 &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1) {
        *to = session;
        return 1;
    }
    SSL_SESSION_free(session);
    return 0;
}

/// TlsStream wants the secret that what the server sends is encrypted with, in whatever its
/// connection has for it. Nobody is told of it, or of the others.
void keep_secret(const SSL* ssl, const char* line) {
    auto* secret = static_cast<Secret*>(SSL_get_app_data(ssl));
    if (secret == nullptr) return;
    if (auto found = TrafficKey::server_secret(line)) *secret = std::move(*found);
}

/// A key with a passphrase is an error, and not a question on the terminal.
int no_passphrase(char*, int, int, void*) {
    return -1;
}

void use_certificate(SSL_CTX* context, const TlsSpec& spec) {
    if (spec.cert_path.empty()) return;
    if (SSL_CTX_use_certificate_chain_file(context, spec.cert_path.c_str()) != 1) {
        fail(spec.cert_position, "cert", spec.cert_path, reason(),
             "it is a certificate in PEM form, with those between it and its CA behind it");
    }
    const bool read =
        SSL_CTX_use_PrivateKey_file(context, spec.key_path.c_str(), SSL_FILETYPE_PEM) == 1;
    if (read && SSL_CTX_check_private_key(context) == 1) return;
    if (read || ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH) {
        fail(spec.key_position, "key", spec.key_path,
             "it does not fit the certificate " + config::in_quotes(spec.cert_path),
             "name the key that the certificate was made for");
    }
    fail(spec.key_position, "key", spec.key_path, reason(),
         "it is a private key in PEM form, without a passphrase");
}

void use_authorities(SSL_CTX* context, const TlsSpec& spec) {
    if (spec.ca_path.empty()) return;
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(spec.ca_path.c_str());
    if (names == nullptr ||
        SSL_CTX_load_verify_locations(context, spec.ca_path.c_str(), nullptr) != 1) {
        fail(spec.ca_position, "ca", spec.ca_path, reason(),
             "it is one or several certificates in PEM form");
    }
    SSL_CTX_set_client_CA_list(context, names);
}

PreSharedKeys read_keys(const TlsSpec& spec) {
    if (spec.psk_path.empty()) return {};
    std::ifstream file(spec.psk_path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    auto keys = parse_psk_file(text);
    if (keys) return std::move(*keys);
    fail(spec.psk_position, "psk_file", spec.psk_path, keys.error(),
         "write NAME:KEY on each line, the key in hexadecimal; psktool -u NAME -p FILE makes one");
}

void use_keys(SSL_CTX* context, PreSharedKeys& keys) {
    if (keys.empty()) return;
    SSL_CTX_set_app_data(context, &keys);
    SSL_CTX_set_psk_server_callback(context, find_key);
    SSL_CTX_set_psk_find_session_callback(context, find_session);
    SSL_CTX_set_dh_auto(context, 1);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_ciphersuites(context, psk_suites);
}

}  // namespace

struct TlsContext::Loaded {
    struct Free {
        void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
    };
    std::unique_ptr<SSL_CTX, Free> context{SSL_CTX_new(TLS_server_method())};
    PreSharedKeys keys;  // Lent to the context.
};

TlsContext::TlsContext(const TlsSpec& spec) : loaded_(std::make_unique<Loaded>()) {
    SSL_CTX* context = loaded_->context.get();
    if (context == nullptr) throw std::bad_alloc();
    fast_gcm_version();  // Opens the library here, and not on a shard.
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    // No session outlives its connection: it would outlive its certificates as well.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    // What a pre-shared key is made into counts as a session where clients are verified.
    constexpr unsigned char name[] = {'d', 'm', 'n', 'b', 'd'};
    SSL_CTX_set_session_id_context(context, name, sizeof name);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_set_ciphersuites(context, suites) != 1) throw std::bad_alloc();
    SSL_CTX_set_keylog_callback(context, keep_secret);
    use_certificate(context, spec);
    use_authorities(context, spec);
    loaded_->keys = read_keys(spec);
    use_keys(context, loaded_->keys);
    if (spec.verify_peer) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
}

TlsContext::~TlsContext() = default;

ssl_ctx_st* TlsContext::get() const noexcept {
    return loaded_->context.get();
}

bool has_tls() noexcept {
    return true;
}

std::shared_ptr<const TlsContext> load_tls(const TlsSpec& spec) {
    return spec.given() ? std::make_shared<const TlsContext>(spec) : nullptr;
}

std::optional<TlsTrouble> check_tls(const TlsSpec& spec) {
    try {
        load_tls(spec);
        return std::nullopt;
    } catch (TlsTrouble& trouble) {
        return std::move(trouble);
    }
}

}  // namespace server
