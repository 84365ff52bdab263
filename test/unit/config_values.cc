#include <doctest/doctest.h>

#include <map>
#include <string>

#include "config/cidr.h"
#include "config/closest.h"
#include "config/values.h"

using namespace config;
using std::chrono::milliseconds;

TEST_CASE("sizes have one meaning each") {
    // MB means two things to two people, so neither is guessed.
    CHECK(parse_size("512MiB", Bare::refused).value() == 512ULL << 20);
    CHECK(parse_size("4K", Bare::refused).value() == 4096);
    CHECK(parse_size("3G", Bare::refused).value() == 3ULL << 30);
    CHECK(parse_size("2TiB", Bare::refused).value() == 2ULL << 40);
    CHECK(parse_size("8s", Bare::refused).value() == 4096);
    CHECK(parse_size("100B", Bare::refused).value() == 100);
    CHECK(parse_size("8", Bare::sectors).value() == 4096);
    CHECK(parse_size("18446744073709551615B", Bare::refused).value() == UINT64_MAX);
    for (const char* bad :
         {"", "MiB", "-1MiB", "+1MiB", "1.5GiB", "1 MiB", "1mib", "0x10s", "1MiBs"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_size(bad, Bare::sectors).has_value());
    }
    CHECK(parse_size("512", Bare::refused).error().slug == "unit-missing");
    CHECK(parse_size("16777216TiB", Bare::refused).error().slug == "too-large");
    CHECK(parse_size("18446744073709551616B", Bare::refused).error().slug == "too-large");
    CHECK(parse_size("010MiB", Bare::refused).error().slug == "leading-zero");
}

TEST_CASE("decimal units are refused with the two exact spellings") {
    CHECK(parse_size("512MB", Bare::refused).error().help == "write 512MiB or 512000000B");
    CHECK(parse_size("4kB", Bare::sectors).error().help == "write 4KiB or 4000B");
    CHECK(parse_size("1GB", Bare::sectors).error().help == "write 1GiB or 1000000000B");
}

TEST_CASE("sectors are whole") {
    CHECK(parse_sectors("1MiB", Bare::sectors).value() == 2048);
    CHECK(parse_sectors("1048576", Bare::sectors).value() == 1048576);
    CHECK(parse_sectors("0", Bare::sectors).value() == 0);
    CHECK(parse_sectors("1000B", Bare::sectors).error().slug == "not-sectors");
}

TEST_CASE("durations need a unit") {
    CHECK(parse_duration("250ms").value() == milliseconds(250));
    CHECK(parse_duration("9s").value() == milliseconds(9000));
    CHECK(parse_duration("1m30s").value() == milliseconds(90'000));
    CHECK(parse_duration("2h").value() == std::chrono::hours(2));
    CHECK(parse_duration("0s").value() == milliseconds(0));
    CHECK(parse_duration("10us").value() == std::chrono::microseconds(10));
    CHECK(parse_duration("9").error().slug == "unit-missing");
    for (const char* bad : {"", "s", "9 s", "1s1m", "1s1s", "1.5s", "-1s", "9sec", "5d"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_duration(bad).has_value());
    }
    CHECK(parse_duration("99999999999999999999h").error().slug == "too-large");
    CHECK(parse_duration("87648h1h").error().slug == "bad-duration");
    CHECK(parse_duration("87648h1m").error().slug == "too-large");
}

TEST_CASE("rates are exact") {
    // A rate goes to the target in 10^-9; a double in between would round it.
    CHECK(parse_rate("10%").value() == 100'000'000);
    CHECK(parse_rate("0.1").value() == 100'000'000);
    CHECK(parse_rate("100%").value() == 1'000'000'000);
    CHECK(parse_rate("1").value() == 1'000'000'000);
    CHECK(parse_rate("0.000000001").value() == 1);
    CHECK(parse_rate("12.5%").value() == 125'000'000);
    for (const char* bad : {"", "%", "101%", "1.1", "-1%", ".5", "1.", "0.0000000001", "1e-3"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_rate(bad).has_value());
    }
}

TEST_CASE("numbers, factors, booleans and names") {
    CHECK(parse_count("0", 5).value() == 0);
    CHECK(parse_count("5", 5).value() == 5);
    CHECK(parse_count("6", 5).error().slug == "too-large");
    CHECK(parse_count("05", 9).error().help == "write 5");
    CHECK(parse_count("00", 9).error().help == "write 0");
    CHECK(parse_factor("2").value() == 2.0);
    CHECK(parse_factor("1.5").value() == 1.5);
    CHECK_FALSE(parse_factor("0.9").has_value());
    CHECK(parse_boolean("true").value());
    CHECK_FALSE(parse_boolean("false").value());
    for (const char* word : {"yes", "no", "on", "off", "True", "1", ""}) {
        CHECK_FALSE(parse_boolean(word).has_value());
    }
    for (const char* name : {"a", "0", "img0", "a_b.c+d-e", "on"})
        CHECK(parse_name(name).has_value());
    for (const char* name : {"", "-a", ".a", "a b", "253:0", "/dev/sda", "\xc3\xbc"}) {
        CHECK_FALSE(parse_name(name).has_value());
    }
}

TEST_CASE("sizes and durations print as they are written") {
    CHECK(size_text(512ULL << 20) == "512MiB");
    CHECK(size_text(1536ULL << 20) == "1536MiB");
    CHECK(size_text(1ULL << 30) == "1GiB");
    CHECK(size_text(512) == "1s");
    CHECK(size_text(100) == "100B");
    CHECK(sectors_text(UINT64_MAX) == "18446744073709551615s");
    for (const char* text : {"250ms", "9s", "1m30s", "2h", "1h1m1s", "0s", "1500ms", "10us"}) {
        CHECK(duration_text(parse_duration(text).value()) == text);
    }
}

TEST_CASE("variables expand as in a shell") {
    const std::map<std::string, std::string> set{{"V", "x"}, {"EMPTY", ""}, {"NESTED", "${V}"}};
    const auto expand = [&](std::string_view text) {
        return expand_variables(text, [&](const std::string& name) -> std::optional<std::string> {
            const auto found = set.find(name);
            return found == set.end() ? std::nullopt : std::optional(found->second);
        });
    };
    CHECK(expand("plain").value() == "plain");
    CHECK(expand("a${V}b${V}").value() == "axbx");
    CHECK(expand("${NONE:-y}/z").value() == "y/z");
    CHECK(expand("${NONE:-}").value().empty());
    CHECK(expand("${EMPTY:-y}").value() == "y");
    CHECK(expand("${EMPTY}").value().empty());
    CHECK(expand("$$5 $${V}").value() == "$5 ${V}");
    CHECK(expand("${NESTED}").value() == "${V}");  // What is put in is not looked at again.
    CHECK(expand("${NONE}").error().slug == "variable-unset");
    CHECK(expand("${NONE:?set it}").error().message == "variable 'NONE' is not set: set it");
    CHECK(expand("${EMPTY:?set it}").error().slug == "variable-unset");
    for (const char* bad : {"$", "$V", "${", "${}", "${V", "${1}", "${V:+x}", "${V-x}", "a$ b"}) {
        CAPTURE(bad);
        CHECK(expand(bad).error().slug == "bad-variable");
    }
}

TEST_CASE("sums and products know where 64 bits end") {
    CHECK(checked_add(1, 2) == 3);
    CHECK_FALSE(checked_add(UINT64_MAX, 1).has_value());
    CHECK(checked_multiply(1ULL << 32, 1ULL << 31) == 1ULL << 63);
    CHECK_FALSE(checked_multiply(1ULL << 32, 1ULL << 32).has_value());
}

TEST_CASE("the closest match is close, or none") {
    constexpr std::string_view names[] = {"linear", "flakey", "striped", "zero"};
    CHECK(closest("flaky", names) == "flakey");
    CHECK(closest("Linear", names) == "linear");
    CHECK(closest("lienar", names) == "linear");
    CHECK_FALSE(closest("snapshot", names).has_value());
    CHECK_FALSE(closest("", names).has_value());
    CHECK_FALSE(closest(std::string(100'000, 'x'), names).has_value());
    CHECK(did_you_mean("stripe", names) == "did you mean 'striped'?");
    CHECK(did_you_mean("qqqqq", names).empty());
}

TEST_CASE("address ranges hold what is in them") {
    const auto address = [](std::string_view text) { return parse_cidr(text).value().address; };
    const Cidr ten = parse_cidr("10.0.0.0/8").value();
    CHECK(ten.contains(address("10.255.0.1")));
    CHECK_FALSE(ten.contains(address("11.0.0.1")));
    CHECK_FALSE(ten.contains(address("::1")));
    const Cidr odd = parse_cidr("192.168.4.0/22").value();
    CHECK(odd.contains(address("192.168.7.255")));
    CHECK_FALSE(odd.contains(address("192.168.8.0")));
    CHECK(parse_cidr("fd00::/8").value().contains(address("fdab::1")));
    CHECK(parse_cidr("0.0.0.0/0").value().contains(address("8.8.8.8")));
    CHECK_FALSE(parse_cidr("0.0.0.0/0").value().contains(address("::1")));
    CHECK(parse_cidr("::/0").value().contains(address("8.8.8.8")));
    for (const char* bad :
         {"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "localhost", "::1/129"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_cidr(bad).has_value());
    }
}
