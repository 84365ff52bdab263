// In place of fast_gcm.cc, in a build without intel-ipsec-mb.h or OpenSSL.
#include "server/net/fast_gcm.h"

namespace server {

std::unique_ptr<RecordCipher> fast_gcm(std::size_t) {
    return nullptr;
}

std::string fast_gcm_version() {
    return "no libIPSec_MB (faster TLS)";
}

}  // namespace server
