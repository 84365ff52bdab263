#pragma once

#include <cstddef>
#include <memory>
#include <span>

struct ssl_cipher_st;

namespace server {

/// An AEAD that encrypts the records of one connection, piece by piece (RFC 8446, 5.2). Its calls
/// return false where the library behind it fails; the record is lost then. On one thread.
class RecordCipher {
  public:
    static constexpr std::size_t nonce_bytes = 12;
    static constexpr std::size_t tag_bytes = 16;
    virtual ~RecordCipher() = default;

    virtual std::size_t key_bytes() const noexcept = 0;
    /// Of key_bytes(), from the next record on; before the first one.
    virtual bool set_key(std::span<const unsigned char> key) = 0;
    /// Begins a record; `head` is authenticated, not encrypted.
    virtual bool begin(std::span<const unsigned char, nonce_bytes> nonce,
                       std::span<const unsigned char> head) = 0;
    /// Puts as many bytes at `to`.
    virtual bool add(std::span<const unsigned char> part, unsigned char* to) = 0;
    /// Puts tag_bytes at `tag`.
    virtual bool end(unsigned char* tag) = 0;
};

/// For a suite of TLS 1.3: by fast_gcm.h where that has it, else by OpenSSL. Throws std::bad_alloc.
std::unique_ptr<RecordCipher> make_record_cipher(const ssl_cipher_st* suite);

/// The same by OpenSSL.
std::unique_ptr<RecordCipher> openssl_record_cipher(const ssl_cipher_st* suite);

}  // namespace server
