#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct ssl_st;
struct ssl_ctx_st;

namespace bench {

/// A client's side of TLS over a socket. Whatever goes wrong ends the program; so does the making
/// of one where there is no OpenSSL.
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
    std::ptrdiff_t failed(int result);

    ssl_ctx_st* context_ = nullptr;
    ssl_st* ssl_ = nullptr;
};

}  // namespace bench
