#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include "server/cli/exit.h"
#include "server/cli/format.h"
#include "server/cli/rates.h"
#include "server/cli/verbs.h"

namespace server::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string decimal(double value, int decimals) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
    return text.data();
}

std::string ops_text(const Json& ops) {
    std::vector<std::vector<std::string>> rows = {{"Op", "IOs", "MiB", "Mean ms"}};
    for (const auto& [name, op] : ops.items()) {
        const auto ios = op.at("ios").get<double>();
        const double ms = op.at("time_ns").get<double>() / 1e6;
        rows.push_back({name, count_text(op.at("ios")),
                        decimal(op.at("sectors").get<double>() / 2048, 1),
                        ios > 0 ? decimal(ms / ios, 3) : "-"});
    }
    return columns(rows, "lrrr");
}

/// What `args` ask for, once.
std::string look(Client& client, const StatsArgs& args) {
    const std::string path = device_path(args.device) + "/stats";
    if (args.sysfs) {
        const std::string text = client.text(path + "?format=sysfs");
        return args.json ? Json{{"sysfs", text}}.dump() + "\n" : text;
    }
    const Json stats = client.json(path);
    return args.json ? stats.dump(args.interval ? -1 : 2) + "\n" : stats_text(stats);
}

/// Prints at the end of each interval, as often as was asked for, while somebody can be printed to.
template <class Print>
void repeat(const StatsArgs& args, Console& console, Print print) {
    auto due = Clock::now();
    for (std::uint64_t number = 0; !args.count || number < *args.count; ++number) {
        due += *args.interval;
        std::this_thread::sleep_until(due);
        console.out << print(number) << std::flush;
        if (!console.out) return;
    }
}

}  // namespace

std::string stats_text(const Json& stats) {
    const auto count = [&](const char* key) { return count_text(stats.at(key)); };
    std::string text = ops_text(stats.at("ops")) + "\n";
    text += "In flight:  " + count("in_flight") + "\n";
    text += "Busy:       " + decimal(stats.at("busy_ns").get<double>() / 1e9, 3) + " s\n";
    text += "Splits:     " + count("splits") + "\n";
    text += "Requeued:   " + count("stage_one") + " split parts, " + count("stage_two") +
            " parts put back\n";
    text += "Retried:    " + count("retried") + ", given up: " + count("retries_exhausted") + "\n";
    text += "Waiting:    " + count("deferred") + " for a resume, " + count("waiting_retry") +
            " for a retry, " + count("waiting_overlap") + " behind a write; " +
            count("parked_bytes") + " bytes\n";
    for (const Json& below : stats.at("below")) {
        text += "Issued to " + printable(below.at("name").get<std::string>()) + ": " +
                count_text(below.at("issued")) + ", again: " +
                std::to_string(below.at("reissued").get<std::uint64_t>() +
                               below.at("reissued_fan_out").get<std::uint64_t>()) +
                "\n";
    }
    return text;
}

int stats(const StatsArgs& args, Console& console) {
    Client client(client_address(args.control));
    if (!args.interval) {
        console.out << look(client, args);
        return exits::done;
    }
    if (args.sysfs || args.json) {
        repeat(args, console, [&](std::uint64_t) { return look(client, args); });
        return exits::done;
    }
    Json before = client.json(device_path(args.device));
    auto looked = Clock::now();
    repeat(args, console, [&](std::uint64_t number) {
        Json after = client.json(device_path(args.device));
        const auto now = Clock::now();
        const std::string text = rates_text({rates_of(before, after, now - looked)}, false);
        before = std::move(after);
        looked = now;
        return number == 0 ? text : text.substr(text.find('\n') + 1);
    });
    return exits::done;
}

}  // namespace server::cli
