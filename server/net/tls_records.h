#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

struct evp_cipher_ctx_st;
struct evp_md_st;
struct ssl_st;

namespace server {

/// Makes the records that a server of TLS 1.3 sends once the handshake is over (RFC 8446, 5.2). It
/// is here because OpenSSL would copy all data twice more than it must: this encrypts from where
/// the pieces of a record lie to where it is sent from. Keys, nonces and their change are as there;
/// what is encrypted with is OpenSSL's.
class TlsRecords {
  public:
    static constexpr std::size_t head_bytes = 5;
    static constexpr std::size_t overhead_bytes = head_bytes + 1 + 16;  // A type, and a tag.
    /// `secret`: server_application_traffic_secret_0, with which nothing has been sent yet. Throws
    /// std::bad_alloc.
    TlsRecords(const ssl_st* ssl, std::vector<unsigned char> secret);
    ~TlsRecords();
    TlsRecords(const TlsRecords&) = delete;
    TlsRecords& operator=(const TlsRecords&) = delete;

    /// Begins a record at `to` that will hold `bytes`, at most limits::tls_record_bytes. False, as
    /// from the next two: OpenSSL fails.
    bool begin(std::byte* to, std::size_t bytes);
    bool add(std::span<const std::byte> part);
    /// `type`: what it holds. Returns its length; 0 if it fails.
    std::size_t end(unsigned char type);

    /// From the next record on, as after a KeyUpdate.
    bool next_key();
    /// Has its key been used as often as one should be (5.5)?
    bool key_is_worn() const noexcept { return sequence_ >= records_per_key; }

  private:
    static constexpr std::uint64_t records_per_key = 1 << 24;
    struct Free {
        void operator()(evp_cipher_ctx_st* context) const noexcept;
    };
    bool use_secret();
    bool expand(std::string_view label, std::span<unsigned char> to) const;

    std::unique_ptr<evp_cipher_ctx_st, Free> cipher_;
    const evp_md_st* const hash_;
    std::vector<unsigned char> secret_;
    unsigned char iv_[12] = {};
    std::uint64_t sequence_ = 0;
    std::byte* at_ = nullptr;  // In the record that is being made.
    std::byte* begin_ = nullptr;
};

}  // namespace server
