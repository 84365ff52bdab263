// In place of the other sources of TLS, in a build without OpenSSL.
#include "server/net/tls_context.h"
#include "server/net/tls_records.h"
#include "server/net/tls_stream.h"

namespace server {

bool has_tls() noexcept {
    return false;
}

std::optional<config::TlsTrouble> check_tls(const config::TlsSpec& spec) {
    if (!spec.given()) return std::nullopt;
    return config::TlsTrouble{spec.position,
                              {"no-tls",
                               "tls: this build has no OpenSSL",
                               {},
                               "build dmnbd where it is found (package libssl-dev), or leave this "
                               "out"}};
}

std::shared_ptr<const TlsContext> load_tls(const config::TlsSpec& spec) {
    if (auto trouble = check_tls(spec)) throw std::move(*trouble);
    return nullptr;
}

// Nobody has credentials to begin with.
void TlsStream::Free::operator()(ssl_st*) const noexcept {}
TlsStream::TlsStream(std::shared_ptr<const TlsContext>, int socket, TlsScratch& scratch)
    : socket_(socket), scratch_(scratch) {}
TlsStream::~TlsStream() = default;
ssize_t TlsStream::read(std::span<const iovec>) {
    return 0;
}
ssize_t TlsStream::write(std::span<const iovec>) {
    return 0;
}
bool TlsStream::flush() {
    return true;
}
void TlsStream::say_goodbye() {}

}  // namespace server
