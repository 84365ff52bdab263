#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace config {

/// An IPv6 address in network order; IPv4 as ::ffff:a.b.c.d.
using Address = std::array<std::uint8_t, 16>;

/// A range of addresses such as 10.0.0.0/8 or ::1.
struct Cidr {
    Address address{};
    unsigned prefix_bits = 128;  // Of the 16-byte form: 96 + n for IPv4.

    bool contains(const Address& other) const noexcept;
    friend bool operator==(const Cidr&, const Cidr&) = default;
};

/// `ADDRESS` or `ADDRESS/BITS`; nothing if it is not one, or has bits set beyond the prefix.
std::optional<Cidr> parse_cidr(std::string_view text);

}  // namespace config
