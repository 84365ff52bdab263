#pragma once

#include <string.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "server/net/record_cipher.h"

struct evp_md_st;
struct ssl_st;

namespace server {

/// Bytes that leave no trace in memory.
class Secret {
  public:
    Secret() = default;
    explicit Secret(std::vector<unsigned char> bytes) noexcept : bytes_(std::move(bytes)) {}
    ~Secret() {
        if (!bytes_.empty()) ::explicit_bzero(bytes_.data(), bytes_.size());
    }
    Secret(Secret&&) = default;
    Secret& operator=(Secret&& other) noexcept {
        bytes_.swap(other.bytes_);
        return *this;
    }

    std::span<unsigned char> bytes() noexcept { return bytes_; }
    std::span<const unsigned char> bytes() const noexcept { return bytes_; }

  private:
    std::vector<unsigned char> bytes_;
};

/// What one side of a connection encrypts with by TLS 1.3 once the handshake is over: a secret, the
/// key that it gives, and a nonce for each record (RFC 8446, 5.3 and 7.3).
class TrafficKey {
  public:
    /// That of the server, from a line that OpenSSL writes to its log of keys; nothing: the line is
    /// of another.
    static std::optional<Secret> server_secret(std::string_view line);

    /// `secret`: its first, with which nothing has been sent yet. Throws std::bad_alloc.
    TrafficKey(const ssl_st* ssl, Secret secret);

    /// Begins the next record. False: as the calls of cipher(), by which it goes on.
    bool begin(std::span<const unsigned char> head);
    RecordCipher& cipher() noexcept { return *cipher_; }

    /// From the next record on, as after a KeyUpdate.
    bool next();
    /// Has it been used as often as one should be (5.5)?
    bool worn() const noexcept { return sequence_ >= records_max; }

  private:
    static constexpr std::uint64_t records_max = 1 << 24;
    bool use_secret();
    bool expand(std::string_view label, std::span<unsigned char> to) const;

    const std::unique_ptr<RecordCipher> cipher_;
    const evp_md_st* const hash_;
    Secret secret_;
    unsigned char iv_[RecordCipher::nonce_bytes] = {};
    std::uint64_t sequence_ = 0;
};

}  // namespace server
