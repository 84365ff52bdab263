#pragma once

#include <cstddef>
#include <span>

#include "server/net/traffic_key.h"

namespace server {

/// Makes the records that a server of TLS 1.3 sends once the handshake is over (RFC 8446, 5.2). It
/// is here because OpenSSL would copy all data twice more than it must: this encrypts from where
/// the pieces of a record lie to where it is sent from. What encrypts is a library.
class TlsRecords {
  public:
    static constexpr std::size_t head_bytes = 5;
    static constexpr std::size_t overhead_bytes = head_bytes + 1 + RecordCipher::tag_bytes;

    /// As TrafficKey's.
    TlsRecords(const ssl_st* ssl, Secret secret) : key_(ssl, std::move(secret)) {}

    /// Begins a record at `to` that will hold `bytes`, at most limits::tls_record_bytes. False, as
    /// from the next two: the cipher fails.
    bool begin(std::byte* to, std::size_t bytes);
    bool add(std::span<const std::byte> part);
    /// `type`: what it holds. Returns its length; 0 if it fails.
    std::size_t end(unsigned char type);

    TrafficKey& key() noexcept { return key_; }

  private:
    TrafficKey key_;
    std::byte* at_ = nullptr;  // In the record that is being made.
    std::byte* begin_ = nullptr;
};

}  // namespace server
