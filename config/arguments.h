#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/section.h"
#include "dmcore/target.h"

namespace config {

/// The words that dm would be given for the arguments of a segment, and where each was written.
struct Arguments {
    std::vector<std::string> words;
    std::vector<Position> places;
};

/// Reads `args` in any of its three forms (a map of names, a list of words, one string of words),
/// which mean the same. `args` may be null: nothing written; `at` is where to complain then. `what`
/// names the device: "device 'flaky'". Nothing, and reports, if something is wrong.
std::optional<Arguments> read_arguments(Context& context, const Node* args,
                                        const dmcore::TargetType& type, const Position& at,
                                        const std::string& what);

/// A device that a row stands on.
struct Leg {
    std::size_t word = 0;                         // Its name.
    std::optional<std::uint64_t> offset_sectors;  // Nothing: not a number.
    bool carries_row = true;  // The row's sectors lie there, from the offset on.
};

/// What a row stands on, and how.
struct Legs {
    std::vector<Leg> list;
    bool striped = false;             // The row's length is shared out among the legs...
    std::uint64_t chunk_sectors = 1;  // ...in chunks.
    std::uint64_t shares = 1;         // The row is one of so many that lie on the same device.
};

/// Finds the devices among a row's words, by what `type` says of its arguments. Tolerates wrong
/// words.
Legs find_legs(const dmcore::TargetType& type, const std::vector<std::string>& words);

}  // namespace config
