// What `top` and `stats --interval` make of two looks at a device.
#include <doctest/doctest.h>

#include "server/cli/rates.h"

using namespace server::cli;
using std::chrono::milliseconds;

namespace {

Json device(std::uint64_t ios, std::uint64_t sectors, std::uint64_t time_ns,
            std::uint64_t retried) {
    return {{"name", "disk"},
            {"ios", ios},
            {"sectors", sectors},
            {"ops", {{"read", {{"time_ns", time_ns}}}, {"write", {{"time_ns", time_ns}}}}},
            {"retried", retried},
            {"in_flight", 3},
            {"deferred", 4}};
}

Rates named(const std::string& name) {
    Rates rates;
    rates.name = name;
    return rates;
}

}  // namespace

TEST_CASE("rates: counters become figures per second, states stay as they are") {
    // Half a second: everything counts double.
    const Rates rates = rates_of(device(100, 2048, 1'000'000, 5), device(150, 6144, 26'000'000, 15),
                                 milliseconds(500));
    CHECK(rates.name == "disk");
    CHECK(rates.ios_per_s == doctest::Approx(100));
    CHECK(rates.mib_per_s == doctest::Approx(4));
    CHECK(rates.mean_ms == doctest::Approx(1));
    CHECK(rates.retried_per_s == doctest::Approx(20));
    CHECK(rates.in_flight == 3);
    CHECK(rates.deferred == 4);
}

TEST_CASE("rates: a device without I/O has no latency, one made anew counts from its start") {
    // No division by zero, and no figure near 2^64.
    const Json still = device(100, 2048, 1'000'000, 5);
    CHECK(rates_of(still, still, milliseconds(1000)).mean_ms == 0);
    const Rates anew = rates_of(still, device(10, 0, 0, 0), milliseconds(1000));
    CHECK(anew.ios_per_s == doctest::Approx(10));
    CHECK(anew.mib_per_s == 0);
}

TEST_CASE("rates: lines printed one after another stand in line") {
    // `stats --interval` prints the header once.
    Rates busy = named("disk");
    busy.ios_per_s = 123456.7;
    busy.mib_per_s = 4321.06;
    busy.mean_ms = 1.23456;
    busy.in_flight = 64;
    busy.deferred = 1000;
    busy.retried_per_s = 99;
    CHECK(rates_text({busy}, true) ==
          "Name      IO/s    MiB/s  Mean ms     Infl Deferred Retried/s\n"
          "disk    123457   4321.1    1.235       64     1000        99\n");
    const std::string one = rates_text({busy}, false);
    const std::string other = rates_text({named("")}, false);
    CHECK(one.size() == other.size());
}

TEST_CASE("top: what it draws fits the terminal, whatever its size") {
    // It redraws when the size changes; a line too wide or too many would scroll the picture away.
    std::vector<Rates> all;
    for (int number = 0; number < 10; ++number) all.push_back(named("d" + std::to_string(number)));
    all[0].name = "änderung\033[2J";
    const auto full = top_lines(all, {.columns = 80, .rows = 11}, false);
    REQUIRE(full.size() == 11);
    CHECK(full[1].starts_with("änderung\\x1b[2J  "));
    const auto narrow = top_lines(all, {.columns = 3, .rows = 5}, false);
    CHECK(narrow == std::vector<std::string>{"Nam", "änd", "d1 ", "d2 ", "and"});
    CHECK(top_lines(all, {.columns = 80, .rows = 5}, false).back() == "and 7 more");
    CHECK(top_lines(all, {.columns = 80, .rows = 1}, false) ==
          std::vector<std::string>{"and 10 more"});
    CHECK(top_lines({}, {.columns = 80, .rows = 1}, false).size() == 1);
}

TEST_CASE("top: colour marks the header, and there is none unless it is wanted") {
    // NO_COLOR.
    const auto colourful = top_lines({named("d")}, {.columns = 4, .rows = 9}, true);
    CHECK(colourful[0] == "\033[1mName\033[0m");
    CHECK(colourful[1] == "d   ");
    for (const std::string& line : top_lines({named("d")}, {.columns = 80, .rows = 9}, false)) {
        CHECK(line.find('\033') == std::string::npos);
    }
}
