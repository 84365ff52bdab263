#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "dmcore/clock.h"

/// The values of a table file (user-experience 2, Values). Each function reads a whole word.
namespace config {

/// Why a word is not what it should be.
struct ValueError {
    std::string slug;
    std::string message;  // Quotes the word.
    std::string help;     // How to write it.
};

template <class T>
using Value = tl::expected<T, ValueError>;

/// What a number without a unit means.
enum class Bare : std::uint8_t { refused, sectors };

/// `512MiB`, `4K`, `8s`: bytes. MB and the like are refused, because people mean two things by
/// them.
Value<std::uint64_t> parse_size(std::string_view text, Bare bare);

/// A size that must be whole sectors: their number.
Value<std::uint64_t> parse_sectors(std::string_view text, Bare bare);

/// `250ms`, `9s`, `1m30s`; at most 10 years.
Value<dmcore::Time> parse_duration(std::string_view text);

/// `10%` or `0.1`, in 10^-9: 0 to 1,000,000,000.
Value<std::uint32_t> parse_rate(std::string_view text);

/// Decimal digits without sign or leading zero; at most `max`.
Value<std::uint64_t> parse_count(std::string_view text, std::uint64_t max);

/// `2` or `1.5`: 1 to 1000.
Value<double> parse_factor(std::string_view text);

/// `true` or `false`.
Value<bool> parse_boolean(std::string_view text);

/// Itself, if it may be the name of a store or device.
Value<std::string> parse_name(std::string_view text);

/// Itself, if it may be a path, of a file that need not exist.
Value<std::string> parse_path(std::string_view text);

using Variable = std::function<std::optional<std::string>(const std::string& name)>;

/// Replaces `${V}`, `${V:-x}`, `${V:?why}` and `$$`. What is put in is not looked at again.
Value<std::string> expand_variables(std::string_view text, const Variable& variable);

/// The shortest exact spelling: "512MiB", "1000s", "100B".
std::string size_text(std::uint64_t bytes);
/// The same of sectors, which may be more than bytes can count.
std::string sectors_text(std::uint64_t sectors);
/// "1m30s", "250ms", "1500us": exact.
std::string duration_text(dmcore::Time time);

/// A name as YAML takes it for one: "null" in quotes.
std::string name_text(std::string_view name);

/// `a + b`; nothing past 2^64.
std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b);
/// `a * b`; nothing past 2^64.
std::optional<std::uint64_t> checked_multiply(std::uint64_t a, std::uint64_t b);

}  // namespace config
