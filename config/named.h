#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dmcore/target.h"

namespace config {

/// One argument as a table file would have it: `down` and `1s`, `devices` and `[a, b]`.
struct NamedArgument {
    std::string_view name;
    std::string value;  // YAML, on one line.

    friend bool operator==(const NamedArgument&, const NamedArgument&) = default;
};

/// The arguments that stand for the words of a row, without those that may as well be left out.
/// Read back they give the same words. Nothing if only a list of words can say it, such as
/// arguments that the target ignores.
std::optional<std::vector<NamedArgument>> named_arguments(const dmcore::TargetType& type,
                                                          const std::vector<std::string>& words);

}  // namespace config
