#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "server/net/traffic_key.h"

struct ssl_st;
struct ssl_ctx_st;

namespace bench {

/// A client's side of TLS 1.3 over a socket. What it receives it decrypts itself, and does not look
/// at the tags: a client should cost less than the server that it measures. Whatever goes wrong
/// ends the program; so does the making of one where there is no OpenSSL.
class Tls {
  public:
    /// Shakes hands; the socket still blocks. `ca`: the file with the certificate that signs the
    /// server's. `suite`: the only one of TLS 1.3 to be taken; empty: any.
    Tls(int socket, const std::string& ca, const std::string& suite);
    ~Tls();

    /// As recv() and send(), and without waiting once the socket does not block. As long as read()
    /// gives something there may be more, that no event tells of.
    std::ptrdiff_t read(std::span<std::byte> to);
    std::ptrdiff_t write(std::span<const std::byte> from);

  private:
    bool receive();
    void open(std::span<std::byte> record);

    ssl_ctx_st* context_ = nullptr;
    ssl_st* ssl_ = nullptr;
    const int socket_;
    server::Secret secret_;
    std::unique_ptr<server::TrafficKey> key_;
    std::vector<std::byte> received_;
    std::span<std::byte> unopened_;  // Of it, what is to be decrypted...
    std::span<std::byte> opened_;    // ...and what is to be given.
    bool at_end_ = false;
};

}  // namespace bench
