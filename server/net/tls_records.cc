#include "server/net/tls_records.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include <cassert>
#include <new>
#include <string>

#include "server/limits.h"

namespace server {
namespace {

constexpr int tag_bytes = 16;

unsigned char* raw(std::byte* bytes) {
    return reinterpret_cast<unsigned char*>(bytes);
}

const EVP_CIPHER* cipher_of(const SSL_CIPHER* suite) {
    switch (SSL_CIPHER_get_cipher_nid(suite)) {
        case NID_aes_128_gcm: return EVP_aes_128_gcm();
        case NID_aes_256_gcm: return EVP_aes_256_gcm();
        case NID_chacha20_poly1305: return EVP_chacha20_poly1305();
        default: return nullptr;
    }
}

}  // namespace

void TlsRecords::Free::operator()(evp_cipher_ctx_st* context) const noexcept {
    EVP_CIPHER_CTX_free(context);
}

TlsRecords::TlsRecords(const ssl_st* ssl, std::vector<unsigned char> secret)
    : cipher_(EVP_CIPHER_CTX_new()),
      hash_(SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl))),
      secret_(std::move(secret)) {
    const EVP_CIPHER* cipher = cipher_of(SSL_get_current_cipher(ssl));
    const bool made = cipher_ != nullptr && cipher != nullptr &&
                      EVP_EncryptInit_ex(cipher_.get(), cipher, nullptr, nullptr, nullptr) == 1 &&
                      use_secret();
    if (!made) throw std::bad_alloc();
}

TlsRecords::~TlsRecords() {
    OPENSSL_cleanse(secret_.data(), secret_.size());
}

/// HKDF-Expand-Label without a context (RFC 8446, 7.1).
bool TlsRecords::expand(std::string_view label, std::span<unsigned char> to) const {
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
        OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_KEY, const_cast<unsigned char*>(secret_.data()), secret_.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
        OSSL_PARAM_construct_end()};
    const bool done =
        context != nullptr && EVP_KDF_derive(context, to.data(), to.size(), params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kind);
    return done;
}

bool TlsRecords::use_secret() {
    unsigned char key[EVP_MAX_KEY_LENGTH];
    const std::span used(key,
                         static_cast<std::size_t>(EVP_CIPHER_CTX_get_key_length(cipher_.get())));
    sequence_ = 0;
    const bool done = expand("key", used) && expand("iv", iv_) &&
                      EVP_EncryptInit_ex(cipher_.get(), nullptr, nullptr, key, nullptr) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return done;
}

bool TlsRecords::next_key() {
    std::vector<unsigned char> next(secret_.size());
    if (!expand("traffic upd", next)) return false;
    OPENSSL_cleanse(secret_.data(), secret_.size());
    secret_ = std::move(next);
    return use_secret();
}

bool TlsRecords::begin(std::byte* to, std::size_t bytes) {
    assert(bytes > 0 && bytes <= limits::tls_record_bytes);
    const std::size_t length = bytes + overhead_bytes - head_bytes;
    begin_ = to;
    at_ = to + head_bytes;
    to[0] = std::byte{SSL3_RT_APPLICATION_DATA};  // Whatever it holds.
    to[1] = to[2] = std::byte{3};
    to[3] = static_cast<std::byte>(length >> 8);
    to[4] = static_cast<std::byte>(length);
    unsigned char nonce[sizeof iv_];
    for (std::size_t i = 0; i < sizeof nonce; ++i) {
        const std::size_t shift = 8 * (sizeof nonce - 1 - i);
        const auto count = shift < 64 ? static_cast<unsigned char>(sequence_ >> shift) : 0;
        nonce[i] = static_cast<unsigned char>(iv_[i] ^ count);
    }
    ++sequence_;
    int ignored = 0;
    return EVP_EncryptInit_ex(cipher_.get(), nullptr, nullptr, nullptr, nonce) == 1 &&
           EVP_EncryptUpdate(cipher_.get(), nullptr, &ignored, raw(to), head_bytes) == 1;
}

bool TlsRecords::add(std::span<const std::byte> part) {
    int written = 0;
    if (EVP_EncryptUpdate(cipher_.get(), raw(at_), &written,
                          reinterpret_cast<const unsigned char*>(part.data()),
                          static_cast<int>(part.size())) != 1) {
        return false;
    }
    at_ += written;
    return true;
}

std::size_t TlsRecords::end(unsigned char type) {
    const std::byte last{type};
    int written = 0;
    if (!add({&last, 1}) || EVP_EncryptFinal_ex(cipher_.get(), raw(at_), &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher_.get(), EVP_CTRL_AEAD_GET_TAG, tag_bytes, raw(at_)) != 1) {
        return 0;
    }
    return static_cast<std::size_t>(at_ - begin_) + tag_bytes;
}

}  // namespace server
