#include "config/cidr.h"

#include <arpa/inet.h>

#include <algorithm>
#include <string>

#include "config/values.h"

namespace config {
namespace {

constexpr unsigned v4_prefix_bits = 96;  // Of ::ffff:0:0/96, where IPv4 lives.

/// The bits of byte `index` that a prefix of `bits` covers.
std::uint8_t mask(unsigned bits, std::size_t index) {
    const auto before = static_cast<unsigned>(index) * 8;
    if (bits >= before + 8) return 0xff;
    if (bits <= before) return 0;
    return static_cast<std::uint8_t>(0xff00U >> (bits - before));
}

}  // namespace

bool Cidr::contains(const Address& other) const noexcept {
    for (std::size_t i = 0; i < address.size(); ++i) {
        if (((address[i] ^ other[i]) & mask(prefix_bits, i)) != 0) return false;
    }
    return true;
}

std::optional<Cidr> parse_cidr(std::string_view text) {
    const std::size_t slash = text.find('/');
    const std::string host(text.substr(0, slash));
    Cidr cidr;
    if (host.find(char{}) != std::string::npos) return std::nullopt;  // inet_pton would stop there.
    in_addr v4{};
    in6_addr v6{};
    unsigned widest = 128;
    if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
        cidr.address[10] = cidr.address[11] = 0xff;
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(&v4.s_addr);
        std::copy_n(bytes, 4, cidr.address.begin() + 12);
        widest = 32;
    } else if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
        std::copy_n(v6.s6_addr, cidr.address.size(), cidr.address.begin());
    } else {
        return std::nullopt;
    }
    std::uint64_t bits = widest;
    if (slash != std::string_view::npos) {
        const auto given = parse_count(text.substr(slash + 1), widest);
        if (!given) return std::nullopt;
        bits = *given;
    }
    cidr.prefix_bits = static_cast<unsigned>(bits) + (widest == 32 ? v4_prefix_bits : 0);
    for (std::size_t i = 0; i < cidr.address.size(); ++i) {
        if ((cidr.address[i] & ~mask(cidr.prefix_bits, i) & 0xff) != 0) return std::nullopt;
    }
    return cidr;
}

}  // namespace config
