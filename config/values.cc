#include "config/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "config/diagnostic.h"

namespace config {
namespace {

constexpr std::uint64_t rate_one = 1'000'000'000;
constexpr dmcore::Time duration_max = std::chrono::hours(24 * 3652);

struct TimeUnit {
    std::string_view name;
    std::int64_t nanoseconds;
};

constexpr std::array<TimeUnit, 5> time_units{{{"h", 3'600'000'000'000},
                                              {"m", 60'000'000'000},
                                              {"s", 1'000'000'000},
                                              {"ms", 1'000'000},
                                              {"us", 1'000}}};

bool is_digit(char letter) {
    return letter >= '0' && letter <= '9';
}
bool is_letter(char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
}

/// Cuts the longest front of `rest` whose characters all satisfy `wanted`.
template <class Wanted>
std::string_view cut(std::string_view& rest, Wanted wanted) {
    const auto end = std::find_if_not(rest.begin(), rest.end(), wanted);
    const auto count = static_cast<std::size_t>(end - rest.begin());
    const std::string_view front = rest.substr(0, count);
    rest.remove_prefix(count);
    return front;
}

/// `digits[.digits]` scaled by 10^`places`; nothing if it is not one or needs more places.
std::optional<std::uint64_t> decimal(std::string_view text, unsigned places) {
    std::string_view rest = text;
    std::string digits(cut(rest, is_digit));
    if (digits.empty()) return std::nullopt;
    if (!rest.empty()) {
        if (rest.front() != '.' || rest.size() == 1 || rest.size() - 1 > places)
            return std::nullopt;
        digits += rest.substr(1);
        places -= static_cast<unsigned>(rest.size() - 1);
    }
    digits.append(places, '0');
    std::uint64_t result = 0;
    const char* end = digits.data() + digits.size();
    const auto [stopped, error] = std::from_chars(digits.data(), end, result);
    if (error != std::errc() || stopped != end) return std::nullopt;
    return result;
}

ValueError bad_duration(std::string_view text) {
    const bool bare = !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
    if (bare && text.size() <= 9) {
        const std::string digits(text);
        return {"unit-missing", in_quotes(text) + " has no unit",
                "write " + digits + "s or " + digits + "ms"};
    }
    return {"bad-duration", in_quotes(text) + " is not a duration",
            "write it like 250ms, 9s or 1m30s"};
}

}  // namespace

Value<dmcore::Time> parse_duration(std::string_view text) {
    std::string_view rest = text;
    dmcore::Time sum{};
    const TimeUnit* allowed = time_units.begin();  // Each unit once, the large ones first.
    do {
        const std::string_view digits = cut(rest, is_digit);
        const std::string_view name = cut(rest, is_letter);
        const auto* unit = std::find_if(allowed, time_units.end(),
                                        [&](const TimeUnit& one) { return one.name == name; });
        if (unit == time_units.end()) return tl::unexpected(bad_duration(text));
        allowed = unit + 1;
        const auto most = static_cast<std::uint64_t>(duration_max.count() / unit->nanoseconds);
        const auto count = parse_count(digits, most);
        if (!count && count.error().slug == "leading-zero") return tl::unexpected(count.error());
        if (!count && count.error().slug != "too-large") return tl::unexpected(bad_duration(text));
        if (count) sum += dmcore::Time(static_cast<std::int64_t>(*count) * unit->nanoseconds);
        if (!count || sum > duration_max) {
            return tl::unexpected(
                ValueError{"too-large", in_quotes(text) + " is more than ten years", {}});
        }
    } while (!rest.empty());
    return sum;
}

Value<std::uint32_t> parse_rate(std::string_view text) {
    std::string_view number = text;
    const bool percent = number.ends_with('%');
    if (percent) number.remove_suffix(1);
    const auto rate = decimal(number, percent ? 7 : 9);
    if (!rate || *rate > rate_one) {
        return tl::unexpected(ValueError{"bad-rate",
                                         in_quotes(text) + " is not a rate from 0 to 100%",
                                         "write it like 10% or 0.1"});
    }
    return static_cast<std::uint32_t>(*rate);
}

Value<std::uint64_t> parse_count(std::string_view text, std::uint64_t max) {
    if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) {
        return tl::unexpected(ValueError{"bad-number", in_quotes(text) + " is not a whole number",
                                         "write decimal digits only"});
    }
    if (text.size() > 1 && text.front() == '0') {
        const std::size_t first = std::min(text.find_first_not_of('0'), text.size() - 1);
        return tl::unexpected(ValueError{"leading-zero",
                                         in_quotes(text) + " has a leading zero: octal or decimal?",
                                         "write " + std::string(text.substr(first, 20))});
    }
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number > max) {
        return tl::unexpected(
            ValueError{"too-large", in_quotes(text) + " is more than " + std::to_string(max), {}});
    }
    return number;
}

Value<double> parse_factor(std::string_view text) {
    const auto thousandths = decimal(text, 3);
    if (!thousandths || *thousandths < 1'000 || *thousandths > 1'000'000) {
        return tl::unexpected(ValueError{"bad-number",
                                         in_quotes(text) + " is not a factor from 1 to 1000",
                                         "write it like 2 or 1.5"});
    }
    return static_cast<double>(*thousandths) / 1000.0;
}

Value<bool> parse_boolean(std::string_view text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return tl::unexpected(ValueError{"bad-boolean", in_quotes(text) + " is neither true nor false",
                                     "write true or false"});
}

Value<std::string> parse_path(std::string_view text) {
    if (!text.empty() && text.find(char{}) == std::string_view::npos) return std::string(text);
    return tl::unexpected(ValueError{"bad-path", in_quotes(text) + " is not a path", {}});
}

Value<std::string> parse_name(std::string_view text) {
    const auto legal = [](char letter) {
        return is_letter(letter) || is_digit(letter) ||
               std::string_view("_.+-").find(letter) != std::string_view::npos;
    };
    const bool begins_well = !text.empty() && (is_letter(text.front()) || is_digit(text.front()));
    if (!begins_well || text.size() > 127 || !std::all_of(text.begin(), text.end(), legal)) {
        return tl::unexpected(ValueError{"bad-name", in_quotes(text) + " cannot be a name",
                                         "use letters, digits and _ . + - after a letter or digit, "
                                         "at most 127"});
    }
    return std::string(text);
}

std::string name_text(std::string_view name) {
    const bool nothing = name == "null" || name == "Null" || name == "NULL";
    return nothing ? '"' + std::string(name) + '"' : std::string(name);
}

std::string duration_text(dmcore::Time time) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    if (us == 0) return "0s";
    if (us % 1000 != 0) return std::to_string(us) + "us";
    const auto ms = us / 1000;
    if (ms % 1000 != 0) return std::to_string(ms) + "ms";
    const auto seconds = ms / 1000;
    std::string text;
    if (seconds >= 3600) text += std::to_string(seconds / 3600) + "h";
    if (seconds / 60 % 60 != 0) text += std::to_string(seconds / 60 % 60) + "m";
    if (seconds % 60 != 0) text += std::to_string(seconds % 60) + "s";
    return text;
}

}  // namespace config
