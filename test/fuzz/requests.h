#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fuzz/traffic.h"

namespace fuzz {

/// One request as the protocol's document reads it, whatever our own parser makes of it.
struct Asked {
    std::uint64_t cookie = 0;  // Its number, in disguise.
    std::uint16_t command = 0;
    std::uint16_t flags = 0;
    std::uint64_t offset_bytes = 0;
    std::uint64_t length_bytes = 0;
    bool zeroes = false;                 // A write of nothing else.
    std::size_t end = 0;                 // In the stream, of its payload.
    std::set<std::uint32_t> refusals{};  // Errors it may be refused with; empty: it is good.

    bool is(server::nbd::Command which) const {
        return command == static_cast<std::uint16_t>(which);
    }
    bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
    /// Serves at least one byte, or flushes.
    bool is_served() const {
        return refusals.empty() && (length_bytes > 0 || is(server::nbd::Command::flush));
    }
};

/// A whole stream.
struct Requests {
    std::vector<Asked> all;  // Each number is an index of it. Not what is incomplete.
    bool faulty = false;     // It ends where the connection must be dropped...
    bool leaves = false;     // ...or with a DISC.

    /// Null for a cookie that nobody sent.
    const Asked* find(std::uint64_t cookie) const;
};

/// Reads the stream, gives each request a cookie of its own and each write data that tells where it
/// belongs (sector_word()), or zeroes if its first byte is zero.
Requests read_requests(Traffic& traffic, const server::nbd::ExportInfo& info,
                       const server::nbd::Terms& terms);

/// What every 8 bytes of a sector are that request number `number` wrote.
std::uint64_t sector_word(std::size_t number, std::uint64_t sector);
/// The request that wrote such a sector there; nothing: none did.
std::optional<std::size_t> writer_of(std::uint64_t word, std::uint64_t sector);

}  // namespace fuzz
