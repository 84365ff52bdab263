#include "server/net/tls_records.h"

#include <openssl/ssl.h>

#include <cassert>

#include "server/limits.h"

namespace server {
namespace {

unsigned char* raw(std::byte* bytes) {
    return reinterpret_cast<unsigned char*>(bytes);
}

std::span<const unsigned char> raw(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()};
}

}  // namespace

bool TlsRecords::begin(std::byte* to, std::size_t bytes) {
    assert(bytes > 0 && bytes <= limits::tls_record_bytes);
    const std::size_t length = bytes + overhead_bytes - head_bytes;
    begin_ = to;
    at_ = to + head_bytes;
    to[0] = std::byte{SSL3_RT_APPLICATION_DATA};  // Whatever it holds.
    to[1] = to[2] = std::byte{3};
    to[3] = static_cast<std::byte>(length >> 8);
    to[4] = static_cast<std::byte>(length);
    return key_.begin({raw(to), head_bytes});
}

bool TlsRecords::add(std::span<const std::byte> part) {
    if (!key_.cipher().add(raw(part), raw(at_))) return false;
    at_ += part.size();
    return true;
}

std::size_t TlsRecords::end(unsigned char type) {
    const std::byte last{type};
    if (!add({&last, 1}) || !key_.cipher().end(raw(at_))) return 0;
    return static_cast<std::size_t>(at_ - begin_) + RecordCipher::tag_bytes;
}

}  // namespace server
