// In place of tls.cc, in a build without OpenSSL.
#include <cstdio>
#include <cstdlib>

#include "bench/tls.h"

namespace bench {

Tls::Tls(int socket, const std::string&, const std::string&) : socket_(socket) {
    std::fprintf(stderr, "load: this build has no OpenSSL\n");
    std::exit(1);
}
Tls::~Tls() = default;
std::ptrdiff_t Tls::read(std::span<std::byte>) {
    return 0;
}
std::ptrdiff_t Tls::write(std::span<const std::byte>) {
    return 0;
}

}  // namespace bench
