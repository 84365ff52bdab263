#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "fuzz/input.h"

namespace fuzz {

/// What a client sends in its handshake, and how it arrives.
struct HandshakeScript {
    std::string bytes;
    std::vector<std::size_t> cuts;                 // Where one piece ends; ascending.
    std::size_t shut_down_at = std::string::npos;  // The server stops after so many bytes.
};

/// Mostly well-formed options with odd contents, so that a small change leads somewhere new.
HandshakeScript write_handshake(Input& input);

}  // namespace fuzz
