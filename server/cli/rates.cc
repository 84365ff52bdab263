#include "server/cli/rates.h"

#include <array>
#include <cstdio>
#include <sstream>

#include "server/cli/console.h"
#include "server/cli/format.h"

namespace server::cli {
namespace {

constexpr double sectors_per_mib = 2048;
constexpr double ns_per_ms = 1e6;
constexpr std::string_view bold = "\033[1m";

std::uint64_t count_of(const Json& device, const char* key) {
    return device.at(key).get<std::uint64_t>();
}

std::uint64_t time_ns_of(const Json& device) {
    std::uint64_t time_ns = 0;
    for (const Json& op : device.at("ops")) time_ns += count_of(op, "time_ns");
    return time_ns;
}

double grown(std::uint64_t before, std::uint64_t after) {
    return static_cast<double>(after >= before ? after - before : after);
}

/// Wide enough that lines printed one after another stay in line.
std::string cell(double value, int decimals) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%8.*f", decimals, value);
    return text.data();
}

/// The first `columns` characters of UTF-8.
std::string cut(const std::string& text, std::size_t columns) {
    std::size_t at = 0;
    for (std::size_t seen = 0; at < text.size(); ++at) {
        const bool begins = (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80;
        if (begins && seen++ == columns) break;
    }
    return text.substr(0, at);
}

}  // namespace

Rates rates_of(const Json& before, const Json& after, dmcore::Time time) {
    const double seconds = std::chrono::duration<double>(time).count();
    const auto in_between = [&](const char* key) {
        return grown(count_of(before, key), count_of(after, key));
    };
    const double ios = in_between("ios");
    Rates rates;
    rates.name = after.at("name").get<std::string>();
    rates.ios_per_s = ios / seconds;
    rates.mib_per_s = in_between("sectors") / sectors_per_mib / seconds;
    if (ios > 0) rates.mean_ms = grown(time_ns_of(before), time_ns_of(after)) / ios / ns_per_ms;
    rates.retried_per_s = in_between("retried") / seconds;
    rates.in_flight = count_of(after, "in_flight");
    rates.deferred = count_of(after, "deferred");
    return rates;
}

std::string rates_text(const std::vector<Rates>& all, bool named) {
    std::vector<std::vector<std::string>> rows = {
        {"IO/s", "MiB/s", "Mean ms", "Infl", "Deferred", "Retried/s"}};
    if (named) rows.front().insert(rows.front().begin(), "Name");
    for (const Rates& each : all) {
        std::vector<std::string> row = {cell(each.ios_per_s, 0),
                                        cell(each.mib_per_s, 1),
                                        cell(each.mean_ms, 3),
                                        cell(static_cast<double>(each.in_flight), 0),
                                        cell(static_cast<double>(each.deferred), 0),
                                        cell(each.retried_per_s, 0)};
        if (named) row.insert(row.begin(), printable(each.name));
        rows.push_back(std::move(row));
    }
    return columns(rows, named ? "lrrrrrr" : "rrrrrr");
}

std::vector<std::string> top_lines(const std::vector<Rates>& all, TerminalSize size, bool colour) {
    std::vector<std::string> lines;
    std::istringstream text(rates_text(all, true));
    for (std::string line; std::getline(text, line);) lines.push_back(cut(line, size.columns));
    if (lines.size() > size.rows) {
        lines.resize(size.rows - 1);
        const std::size_t drawn = lines.empty() ? 0 : lines.size() - 1;  // Without the header.
        const std::size_t left_out = all.size() - drawn;
        lines.push_back(cut("and " + std::to_string(left_out) + " more", size.columns));
    }
    if (colour) lines.front() = std::string(bold).append(lines.front()).append(colour_end);
    return lines;
}

Json json_of(const Rates& rates) {
    return {{"name", rates.name},
            {"ios_per_s", rates.ios_per_s},
            {"mib_per_s", rates.mib_per_s},
            {"mean_ms", rates.mean_ms},
            {"in_flight", rates.in_flight},
            {"deferred", rates.deferred},
            {"retried_per_s", rates.retried_per_s}};
}

}  // namespace server::cli
