#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/requests.h"

namespace fuzz {

/// What came back for one request.
struct Answer {
    struct Piece {
        std::uint64_t offset_bytes;
        std::uint64_t bytes;
        const char* data;  // Null: zeroes.
    };
    struct Extent {
        std::uint64_t bytes;
        std::uint64_t state;
    };

    bool complete = false;
    std::uint32_t error = 0;
    std::vector<Piece> data;                               // In the order in which it came.
    std::map<std::uint32_t, std::vector<Extent>> extents;  // By context.
};

/// Reads all that a server has sent, and ends the process where a reply breaks the protocol: its
/// framing, its request's bounds, or that there is one of each. `cut`: the last one may stop
/// anywhere. By number of the request; what points to data points into `said`.
std::map<std::size_t, Answer> read_replies(std::string_view said, const Requests& requests,
                                           server::nbd::Form form, bool cut);

}  // namespace fuzz
