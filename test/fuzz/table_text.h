#pragma once

#include <string>
#include <vector>

#include "dmcore/table.h"
#include "fuzz/input.h"

namespace fuzz {

/// Rows over devices of these names and sizes that are often good, and otherwise wrong in one
/// place.
struct Below {
    std::string name;
    std::uint64_t sectors;
};
std::vector<dmcore::RowSpec> write_rows(Input& input, const std::vector<Below>& below);

/// Words of a message to a target, or to the device itself.
std::vector<std::string> write_message(Input& input);

}  // namespace fuzz
