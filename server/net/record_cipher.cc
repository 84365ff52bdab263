#include "server/net/record_cipher.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <new>

#include "server/net/fast_gcm.h"

namespace server {
namespace {

const EVP_CIPHER* cipher_of(const SSL_CIPHER* suite) {
    switch (SSL_CIPHER_get_cipher_nid(suite)) {
        case NID_aes_128_gcm: return EVP_aes_128_gcm();
        case NID_aes_256_gcm: return EVP_aes_256_gcm();
        case NID_chacha20_poly1305: return EVP_chacha20_poly1305();
        default: return nullptr;
    }
}

class OpensslCipher final : public RecordCipher {
  public:
    explicit OpensslCipher(const EVP_CIPHER* cipher) : context_(EVP_CIPHER_CTX_new()) {
        if (context_ == nullptr || cipher == nullptr ||
            EVP_EncryptInit_ex(context_.get(), cipher, nullptr, nullptr, nullptr) != 1) {
            throw std::bad_alloc();
        }
    }

    std::size_t key_bytes() const noexcept override {
        return static_cast<std::size_t>(EVP_CIPHER_CTX_get_key_length(context_.get()));
    }

    bool set_key(std::span<const unsigned char> key) override {
        return EVP_EncryptInit_ex(context_.get(), nullptr, nullptr, key.data(), nullptr) == 1;
    }

    bool begin(std::span<const unsigned char, nonce_bytes> nonce,
               std::span<const unsigned char> head) override {
        return EVP_EncryptInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data()) == 1 &&
               add(head, nullptr);
    }

    bool add(std::span<const unsigned char> part, unsigned char* to) override {
        int written = 0;
        return EVP_EncryptUpdate(context_.get(), to, &written, part.data(),
                                 static_cast<int>(part.size())) == 1;
    }

    /// What is encrypted is in place already: these ciphers have no blocks to fill.
    bool end(unsigned char* tag) override {
        int written = 0;
        return EVP_EncryptFinal_ex(context_.get(), tag, &written) == 1 &&
               EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, tag_bytes, tag) == 1;
    }

  private:
    struct Free {
        void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
    };
    std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

}  // namespace

std::unique_ptr<RecordCipher> openssl_record_cipher(const SSL_CIPHER* suite) {
    return std::make_unique<OpensslCipher>(cipher_of(suite));
}

std::unique_ptr<RecordCipher> make_record_cipher(const SSL_CIPHER* suite) {
    const EVP_CIPHER* const cipher = cipher_of(suite);
    std::unique_ptr<RecordCipher> fast;
    if (cipher != nullptr && EVP_CIPHER_get_mode(cipher) == EVP_CIPH_GCM_MODE) {
        fast = fast_gcm(static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher)));
    }
    return fast != nullptr ? std::move(fast) : openssl_record_cipher(suite);
}

}  // namespace server
