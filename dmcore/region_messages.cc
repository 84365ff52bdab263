// The `@stats_*` messages: their grammar and their answers, as the kernel has them.
#include <algorithm>
#include <charconv>
#include <new>
#include <optional>

#include "dmcore/limits.h"
#include "dmcore/regions.h"
#include "dmcore/target.h"

namespace dmcore {
namespace {

[[noreturn]] void refuse(std::string message, std::string help = {}) {
    throw TableError("bad-message", std::move(message), TableError::none, std::move(help));
}

/// Decimal digits and nothing else.
std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
    return value;
}

std::uint64_t number(std::string_view text, const std::string& what) {
    const auto value = whole_number(text);
    if (!value) refuse(what + " must be a number, not '" + std::string(text) + "'");
    return *value;
}

std::uint64_t divided_up(std::uint64_t value, std::uint64_t by) {
    return value / by + (value % by != 0);
}

std::string joined(std::span<const std::uint64_t> numbers, char between) {
    std::string text;
    for (const std::uint64_t each : numbers) {
        if (!text.empty()) text += between;
        text += std::to_string(each);
    }
    return text;
}

}  // namespace

std::string StatsRegions::message(std::span<const std::string> words, std::uint64_t device_sectors,
                                  Time now) {
    const std::lock_guard lock(mutex_);
    const std::string verb = lower_case(words[0]);
    if (verb == "@stats_create") return create(words, device_sectors, now);
    if (verb == "@stats_list") return list(words);
    if (verb == "@stats_print") return print(words, false, now);
    if (verb == "@stats_print_clear") return print(words, true, now);
    if (verb == "@stats_delete" || verb == "@stats_clear") {
        if (words.size() != 2) refuse(verb + " takes the id of a region");
        Region& region = find(words);
        if (verb == "@stats_clear") {
            clear_lines(region, {0, region.areas.size()});
        } else {
            regions_.erase(number(words[1], "region id"));
            active_.store(!regions_.empty(), std::memory_order_relaxed);
        }
        return {};
    }
    if (verb == "@stats_set_aux") {
        if (words.size() != 3) refuse("@stats_set_aux takes the id of a region and one word");
        find(words).aux = words[2];
        return {};
    }
    if (verb == "@cancel_deferred_remove") return {};  // Nothing is ever removed later here.
    refuse("there is no message '" + words[0] + "'",
           "@stats_create, _delete, _clear, _list, _print, _print_clear and _set_aux");
}

/// `@stats_create <range> <step> [<n> <option>...] [<program> [<aux>]]` ...[A-14].
std::string StatsRegions::create(Words words, std::uint64_t device_sectors, Time now) {
    if (words.size() < 3) refuse("@stats_create takes a range and a step");
    Region region;
    parse_range(region, words[1], device_sectors);
    parse_step(region, words[2]);
    words = words.subspan(3);
    const auto options = words.empty() ? std::nullopt : whole_number(words[0]);
    if (options) {
        if (*options > words.size() - 1) refuse("there are fewer options than their number says");
        for (const std::string& word : words.subspan(1, *options)) parse_option(region, word);
        words = words.subspan(1 + *options);
    }
    if (words.size() > 2) refuse("too many words behind the program id and the aux data");
    region.program = words.empty() ? "-" : words[0];
    region.aux = words.size() < 2 ? "-" : words[1];
    make_areas(region, now);
    region.number = regions_made_++;
    std::uint64_t id = 0;
    while (regions_.contains(id)) ++id;
    regions_.emplace(id, std::move(region));
    active_.store(true, std::memory_order_relaxed);
    return std::to_string(id) + '\n';
}

void StatsRegions::parse_range(Region& region, const std::string& word,
                               std::uint64_t device_sectors) {
    if (word == "-") {
        region.sectors = std::max<std::uint64_t>(device_sectors, 1);
        return;
    }
    const std::size_t plus = word.find('+');
    if (plus == std::string::npos) refuse("a range is '-' or START+LENGTH in sectors");
    region.start_sector = number(std::string_view(word).substr(0, plus), "start");
    region.sectors = number(std::string_view(word).substr(plus + 1), "length");
    if (region.sectors == 0) refuse("a region needs at least 1 sector");
    if (region.sectors > UINT64_MAX - region.start_sector) refuse("the range is too long");
}

void StatsRegions::parse_step(Region& region, const std::string& word) {
    if (!word.starts_with('/')) {
        region.step = number(word, "step");
        if (region.step == 0) refuse("step must be at least 1 sector");
        return;
    }
    const std::uint64_t count = number(std::string_view(word).substr(1), "number of areas");
    if (count == 0) refuse("a region needs at least 1 area");
    region.step = divided_up(region.sectors, count);
}

void StatsRegions::parse_option(Region& region, const std::string& word) {
    constexpr std::string_view histogram = "histogram:";
    const std::string option = lower_case(word);
    if (option == "precise_timestamps") {
        region.precise = true;
        return;
    }
    if (!option.starts_with(histogram)) {
        refuse("there is no option '" + word + "'", "precise_timestamps and histogram:B1,B2,...");
    }
    if (!region.bounds.empty()) refuse("a region has one histogram at most");
    for (std::size_t at = histogram.size(); at <= option.size();) {
        const std::size_t comma = std::min(option.find(',', at), option.size());
        const auto text = std::string_view(option).substr(at, comma - at);
        const std::uint64_t bound = number(text, "histogram bound");
        if (bound <= (region.bounds.empty() ? 0 : region.bounds.back())) {
            refuse("histogram bounds must rise from 1");
        }
        region.bounds.push_back(bound);
        at = comma + 1;
    }
}

///
void StatsRegions::make_areas(Region& region, Time now) const {
    const std::uint64_t areas = divided_up(region.sectors, region.step);
    const std::uint64_t bins = region.bin_count();
    if (areas > limits::stats_areas_max || bins * areas > limits::stats_bins_max) {
        throw TableError("too-many-areas",
                         "the region has " + std::to_string(areas) + " areas, that is too many",
                         TableError::none, "take a longer step");
    }
    std::uint64_t bytes = areas * sizeof(Area) + bins * areas * sizeof(std::uint64_t);
    for (const auto& [id, other] : regions_) {
        bytes += other.areas.size() * sizeof(Area) + other.bins.size() * sizeof(std::uint64_t);
    }
    if (bytes > limits::stats_bytes_max) {
        throw TableError(
            "no-memory",
            "the regions of this device would need " + std::to_string(bytes >> 20) + " MiB",
            TableError::none, "delete others, or take a longer step");
    }
    Area fresh;
    fresh.stamp = now;
    region.areas.assign(areas, fresh);
    region.bins.assign(bins * areas, 0);
}

StatsRegions::Region& StatsRegions::find(Words words) {
    const auto found = regions_.find(number(words[1], "region id"));
    if (found == regions_.end()) {
        throw TableError("no-such-region", "there is no region " + words[1], 1,
                         "@stats_list names them all");
    }
    return found->second;
}

///
std::string StatsRegions::list(Words words) const {
    if (words.size() > 2) refuse("@stats_list takes one program id at most");
    std::string text;
    for (const auto& [id, region] : regions_) {
        if (words.size() == 2 && words[1] != region.program) continue;
        text += std::to_string(id) + ": " + std::to_string(region.start_sector) + '+' +
                std::to_string(region.sectors) + ' ' + std::to_string(region.step) + ' ' +
                region.program + ' ' + region.aux;
        if (region.precise) text += " precise_timestamps";
        if (!region.bounds.empty()) text += " histogram:" + joined(region.bounds, ',');
        text += '\n';
    }
    return text;
}

std::string StatsRegions::print(Words words, bool clear, Time now) {
    if (words.size() != 2 && words.size() != 4) {
        refuse(lower_case(words[0]) +
               " takes the id of a region, then FIRST_LINE LINES or nothing");
    }
    Region& region = find(words);
    const Lines lines = parse_lines(region, words);
    std::string text;
    for (std::size_t i = lines.first; i < lines.end; ++i) {
        advance_time(region.areas[i], now);
        text += area_text(region, i);
    }
    if (clear) clear_lines(region, lines);
    return text;
}

StatsRegions::Lines StatsRegions::parse_lines(const Region& region, Words words) {
    const std::size_t count = region.areas.size();
    if (words.size() == 2) return {0, count};
    const std::uint64_t first = words[2] == "-" ? 0 : number(words[2], "first line");
    const std::uint64_t lines = words[3] == "-" ? count : number(words[3], "number of lines");
    const std::size_t begin = std::min<std::uint64_t>(first, count);
    return {begin, begin + std::min<std::uint64_t>(lines, count - begin)};
}

/// . The number behind "+" is the step even of a shorter last area, as in the kernel.
std::string StatsRegions::area_text(const Region& region, std::size_t index) {
    const Area& area = region.areas[index];
    const auto units = [&](Time time) { return static_cast<std::uint64_t>(time / region.unit()); };
    std::vector<std::uint64_t> numbers;
    for (const Direction& each : area.directions) {
        numbers.insert(numbers.end(), {each.ios, each.merges, each.sectors, units(each.time)});
    }
    numbers.insert(numbers.end(),
                   {area.in_flight[0] + area.in_flight[1], units(area.busy), units(area.queued),
                    units(area.directions[0].busy), units(area.directions[1].busy)});
    std::string text = std::to_string(region.start_sector + index * region.step) + '+' +
                       std::to_string(region.step) + ' ' + joined(numbers, ' ');
    if (const std::size_t bins = region.bin_count(); bins != 0) {
        text += ' ' + joined(std::span(region.bins).subspan(index * bins, bins), ':');
    }
    return text + '\n';
}

/// Everything but what is in flight.
void StatsRegions::clear_lines(Region& region, Lines lines) {
    for (std::size_t i = lines.first; i < lines.end; ++i) {
        Area& area = region.areas[i];
        Area fresh;
        fresh.in_flight = area.in_flight;
        fresh.stamp = area.stamp;
        area = fresh;
        const std::size_t bins = region.bin_count();
        std::fill_n(region.bins.begin() + static_cast<std::ptrdiff_t>(i * bins), bins, 0);
    }
}

}  // namespace dmcore
