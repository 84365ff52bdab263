#pragma once

#include <cstddef>
#include <vector>

namespace server {

/// Memory that the TLS connections of a shard use in turn, each for the length of one call.
struct TlsScratch {
    std::vector<std::byte> received;
    std::vector<std::byte> record;  // Of pieces that share one.
    std::vector<std::byte> encrypted;
    std::size_t encrypted_bytes = 0;  // That are in there.
};

}  // namespace server
