// Why: somebody with a working dm table must get a table file that loads, and know what to fill in.
#include <doctest/doctest.h>

#include "config/import.h"
#include "config/load.h"

using namespace config;

namespace {

std::string imported(const std::string& text) {
    Diagnostics found;
    const auto yaml = import_dm(text, found);
    INFO(found.brief());
    REQUIRE(yaml.has_value());
    Diagnostics loading;
    const auto spec = load_text("imported.yaml", *yaml, loading);
    INFO(*yaml);
    INFO(loading.human());
    REQUIRE(spec.has_value());
    return *yaml;
}

std::string refused(const std::string& text) {
    Diagnostics found;
    CHECK_FALSE(import_dm(text, found).has_value());
    return found.brief();
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("what dmsetup table prints of several devices") {
    const std::string yaml = imported(
        "joined: 0 1048576 linear 253:0 0\n"
        "joined: 1048576 1048576 linear 253:1 2048\n"
        "flaky: 0 2097152 flakey /dev/mapper/joined 0 9 1 1 drop_writes\n");
    CHECK(has(yaml, "#   d253_0 was 253:0\n") == false);
    CHECK(has(yaml, "#   253_0 was 253:0\n"));
    CHECK(has(yaml, "  253_0: { type: file, path: \"253_0.img\", size: 512MiB, create: true }\n"));
    CHECK(has(yaml, "  253_1: { type: file, path: \"253_1.img\", size: 513MiB, create: true }\n"));
    CHECK(has(yaml, "args: { device: joined, up: 9s, down: 1s, features: [drop_writes] }"));
    CHECK(has(yaml, "  \"flaky\": { device: flaky }\n"));
}

TEST_CASE("one device without a name, blank lines and comments") {
    const std::string yaml =
        imported("# mine\n\n0 144 striped 3 16 /dev/sda 0 /dev/sdb 8 b:c 16\n");
    CHECK(has(yaml, "\n  pasted:\n"));
    CHECK(has(yaml, "d_dev_sda: { type: file, path: \"d_dev_sda.img\", size: 24KiB"));
    CHECK(has(yaml, "b_c: { type: file, path: \"b_c.img\", size: 32KiB"));
    CHECK(has(yaml, "#   d_dev_sdb was /dev/sdb\n"));
}

TEST_CASE("the concise form, with uuids and escapes") {
    const std::string yaml =
        imported("one,uuid-1,3,rw,0 100 linear 8:1 0,100 50 zero;two,,,ro,0 8 error\n");
    CHECK(has(yaml, "  one:\n    uuid: \"uuid-1\"\n"));
    CHECK(has(yaml, "- { start: 50KiB, length: 25KiB, target: zero }"));
    CHECK(has(yaml, "  two:\n    table:\n      - { length: 4KiB, target: error }"));
}

TEST_CASE("devices that take more than the row's length are made big enough") {
    CHECK(has(imported("0 512 unstriped 4 256 1 8:0 0\n"), "size: 1MiB"));
}

TEST_CASE("what is wrong is told with its line") {
    CHECK(refused("a: 0 8 linear 8:0 0\nb: 0 8 thin 8:0 1\n")
              .starts_with("stdin:2:1: error: there is no target 'thin' [unknown-target]"));
    CHECK(has(refused("a: 0 x linear 8:0 0\n"), "stdin:1:1: error: length must be a number"));
    CHECK(has(refused("  \n"), "there is no table on standard input"));
    CHECK(has(refused("No devices found\n"), "[bad-number]"));
}
