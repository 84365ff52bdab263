#include <array>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/diagnostic.h"
#include "config/values.h"
#include "dmcore/bio.h"

namespace config {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t bytes;
};

/// The long names first: they are the ones we print.
constexpr std::array<Unit, 10> units{{{"TiB", 1ULL << 40},
                                      {"GiB", 1ULL << 30},
                                      {"MiB", 1ULL << 20},
                                      {"KiB", 1ULL << 10},
                                      {"T", 1ULL << 40},
                                      {"G", 1ULL << 30},
                                      {"M", 1ULL << 20},
                                      {"K", 1ULL << 10},
                                      {"s", dmcore::sector_bytes},
                                      {"B", 1}}};

/// Half of the world reads MB as 10^6 and half as 2^20, so neither is guessed.
constexpr std::array<Unit, 5> ambiguous{{{"kB", 1'000},
                                         {"KB", 1'000},
                                         {"MB", 1'000'000},
                                         {"GB", 1'000'000'000},
                                         {"TB", 1'000'000'000'000}}};

constexpr std::string_view how_to_write = "write a number and KiB, MiB, GiB, TiB, s (sectors) or B";

const Unit* find_unit(std::span<const Unit> table, std::string_view name) {
    for (const Unit& unit : table) {
        if (unit.name == name) return &unit;
    }
    return nullptr;
}

ValueError unit_missing(std::string_view text) {
    const std::string number(text.size() <= 10 && text != "0" ? text : "512");
    return {"unit-missing", in_quotes(text) + " has no unit",
            "write it like " + number + "MiB, or " + number + "s for sectors of 512 bytes"};
}

ValueError too_large(std::string_view text) {
    return {"too-large", in_quotes(text) + " is more than 64 bits can count", {}};
}

ValueError ambiguous_unit(std::string_view text, std::string_view digits, const Unit& unit) {
    const auto count = parse_count(digits, std::numeric_limits<std::uint64_t>::max());
    if (!count) return count.error();
    const auto bytes = checked_multiply(*count, unit.bytes);
    if (!bytes) return too_large(text);
    const char letter = unit.name.front() == 'k' ? 'K' : unit.name.front();
    return {"ambiguous-size", in_quotes(text) + " may mean two sizes",
            "write " + std::string(digits) + letter + "iB or " + std::to_string(*bytes) + "B"};
}

}  // namespace

Value<std::uint64_t> parse_size(std::string_view text, Bare bare) {
    const std::size_t digits_end = text.find_first_not_of("0123456789");
    const std::string_view digits = text.substr(0, digits_end);
    const std::string_view suffix = text.substr(digits.size());
    if (digits.empty()) {
        return tl::unexpected(
            ValueError{"bad-size", in_quotes(text) + " is not a size", std::string(how_to_write)});
    }
    if (const Unit* unit = find_unit(ambiguous, suffix)) {
        return tl::unexpected(ambiguous_unit(text, digits, *unit));
    }
    if (suffix.empty() && bare == Bare::refused) {
        return tl::unexpected(unit_missing(text));
    }
    const Unit* unit = find_unit(units, suffix.empty() ? "s" : suffix);
    if (unit == nullptr) {
        return tl::unexpected(ValueError{
            "bad-size", in_quotes(text) + " is not a size: there is no unit " + in_quotes(suffix),
            std::string(how_to_write)});
    }
    const auto count = parse_count(digits, std::numeric_limits<std::uint64_t>::max());
    if (!count && count.error().slug == "leading-zero") return tl::unexpected(count.error());
    const auto bytes = count ? checked_multiply(*count, unit->bytes) : std::nullopt;
    if (!bytes) return tl::unexpected(too_large(text));
    return *bytes;
}

Value<std::uint64_t> parse_sectors(std::string_view text, Bare bare) {
    const auto bytes = parse_size(text, bare);
    if (!bytes) return tl::unexpected(bytes.error());
    if (*bytes % dmcore::sector_bytes != 0) {
        const std::uint64_t sectors = *bytes / dmcore::sector_bytes;
        return tl::unexpected(ValueError{
            "not-sectors", in_quotes(text) + " is not a whole number of 512-byte sectors",
            "write " + std::to_string(sectors) + "s or " + std::to_string(sectors + 1) + "s"});
    }
    return *bytes / dmcore::sector_bytes;
}

std::string size_text(std::uint64_t bytes) {
    for (const Unit& unit : units) {
        if (unit.name.size() == 3 && bytes % unit.bytes == 0 && bytes >= unit.bytes) {
            return std::to_string(bytes / unit.bytes) + std::string(unit.name);
        }
    }
    if (bytes % dmcore::sector_bytes == 0) {
        return std::to_string(bytes / dmcore::sector_bytes) + "s";
    }
    return std::to_string(bytes) + "B";
}

std::string sectors_text(std::uint64_t sectors) {
    const auto bytes = checked_multiply(sectors, dmcore::sector_bytes);
    return bytes ? size_text(*bytes) : std::to_string(sectors) + "s";
}

std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
    std::uint64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
    return sum;
}

std::optional<std::uint64_t> checked_multiply(std::uint64_t a, std::uint64_t b) {
    std::uint64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return product;
}

}  // namespace config
