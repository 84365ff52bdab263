#include "server/net/traffic_key.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include <new>
#include <string>

#include "server/net/psk_file.h"

namespace server {

std::optional<Secret> TrafficKey::server_secret(std::string_view line) {
    if (!line.starts_with("SERVER_TRAFFIC_SECRET_0 ")) return std::nullopt;
    auto bytes = bytes_of_hex(line.substr(line.rfind(' ') + 1));
    if (!bytes) return std::nullopt;
    return Secret(std::move(*bytes));
}

TrafficKey::TrafficKey(const ssl_st* ssl, Secret secret)
    : cipher_(make_record_cipher(SSL_get_current_cipher(ssl))),
      hash_(SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl))),
      secret_(std::move(secret)) {
    if (!use_secret()) throw std::bad_alloc();
}

/// HKDF-Expand-Label without a context (RFC 8446, 7.1).
bool TrafficKey::expand(std::string_view label, std::span<unsigned char> to) const {
    const std::string full = "tls13 " + std::string(label);
    std::string info;
    info += static_cast<char>(to.size() >> 8);
    info += static_cast<char>(to.size());
    info += static_cast<char>(full.size());
    info += full;
    info += '\0';
    EVP_KDF* kind = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
    EVP_KDF_CTX* context = EVP_KDF_CTX_new(kind);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                         const_cast<char*>(EVP_MD_get0_name(hash_)), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                          const_cast<unsigned char*>(secret_.bytes().data()),
                                          secret_.bytes().size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
        OSSL_PARAM_construct_end()};
    const bool done =
        context != nullptr && EVP_KDF_derive(context, to.data(), to.size(), params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kind);
    return done;
}

bool TrafficKey::use_secret() {
    unsigned char key[EVP_MAX_KEY_LENGTH];
    const std::span used(key, cipher_->key_bytes());
    sequence_ = 0;
    const bool done = expand("key", used) && expand("iv", iv_) && cipher_->set_key(used);
    OPENSSL_cleanse(key, sizeof key);
    return done;
}

bool TrafficKey::next() {
    Secret next(std::vector<unsigned char>(secret_.bytes().size()));
    if (!expand("traffic upd", next.bytes())) return false;
    secret_ = std::move(next);
    return use_secret();
}

bool TrafficKey::begin(std::span<const unsigned char> head) {
    unsigned char nonce[sizeof iv_];
    for (std::size_t i = 0; i < sizeof nonce; ++i) {
        const std::size_t shift = 8 * (sizeof nonce - 1 - i);
        const auto count = shift < 64 ? static_cast<unsigned char>(sequence_ >> shift) : 0;
        nonce[i] = static_cast<unsigned char>(iv_[i] ^ count);
    }
    ++sequence_;
    return cipher_->begin(nonce, head);
}

}  // namespace server
