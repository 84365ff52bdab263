#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/replay/log_reader.h"

namespace server::replay {

/// Where a replay begins and ends.
struct Span {
    std::uint64_t from = 0;                // First entry.
    std::optional<std::uint64_t> to{};     // Number of the entry after the last; none: all.
    std::optional<std::string> to_mark{};  // The first mark of this name, itself included, instead.
};

/// Does the writes and discards of part of a log again, onto `target`, and syncs it. Nothing is
/// written unless all of it can be: the entries are looked through first. Returns the number of the
/// entry that would come next. Throws ReplayError.
std::uint64_t replay(const std::string& log, const Span& span, const std::string& target);

}  // namespace server::replay
