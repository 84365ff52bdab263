#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace config {

/// The candidate that `word` most probably meant: the one with the fewest letters inserted,
/// removed, changed or swapped with a neighbour, the first of equals. Nothing if even that one is
/// too far off to be worth naming.
std::optional<std::string_view> closest(std::string_view word,
                                        std::span<const std::string_view> candidates);

/// "did you mean 'flakey'?", or empty.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace config
