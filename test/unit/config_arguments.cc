#include <doctest/doctest.h>

#include <string>

#include "config/dm_text.h"
#include "config/load.h"

using namespace config;

namespace {

/// One device `d` over stores a and b of 1 MiB, and its rows as dm text.
std::string rows_of(const std::string& table, std::string* slugs = nullptr) {
    Diagnostics found;
    const auto spec = load_text("t.yaml",
                                "version: 1\n"
                                "stores:\n"
                                "  a: { type: memory, size: 1MiB }\n"
                                "  b: { type: memory, size: 1MiB }\n"
                                "devices:\n"
                                "  d:\n" +
                                    table + "\n",
                                found);
    std::string text;
    for (const Diagnostic& one : found.all()) {
        if (slugs != nullptr) *slugs += one.slug + ' ';
        if (slugs == nullptr) INFO(one.message);
    }
    if (!spec) return text;
    for (const dmcore::RowSpec& row : spec->find_device("d")->rows) {
        text +=
            std::to_string(row.start_sector) + ' ' + std::to_string(row.sectors) + ' ' + row.target;
        for (const std::string& word : row.words) text += ' ' + word;
        text += ";";
    }
    return text;
}

std::string one_row(const std::string& segment) {
    return rows_of("    table: [ " + segment + " ]");
}

}  // namespace

TEST_CASE("the forms of arguments mean the same words") {
    // Named, list, dm string, pasted text.
    const std::string linear = "0 1024 linear a 512;";
    CHECK(one_row("{ length: 1024, target: linear, args: { device: a, offset: 256KiB } }") ==
          linear);
    CHECK(one_row("{ length: 512KiB, target: linear, args: { offset: 512, device: a } }") ==
          linear);
    CHECK(one_row("{ length: 1024s, target: linear, args: [a, 512] }") == linear);
    CHECK(one_row("{ length: 1024, target: linear, args: \"a 512\" }") == linear);
    CHECK(one_row("{ length: 1024, target: linear, args: a 512 }") == linear);
    CHECK(rows_of("    table: \"0 1024 linear a 512\"") == linear);
    CHECK(rows_of("    table: |\n      0 1024 linear a 512") == linear);

    const std::string striped = "0 2048 striped 2 128 a 0 b 256;";
    CHECK(one_row("{ length: 1MiB, target: striped, args: { chunk: 64KiB, devices: "
                  "[a, { device: b, offset: 128KiB }] } }") == striped);
    CHECK(one_row("{ length: 1MiB, target: striped, args: [2, 128, a, 0, b, 256] }") == striped);
    CHECK(one_row("{ length: 1MiB, target: striped, args: 2 128 a 0 b 256 }") == striped);

    CHECK(one_row("{ target: flakey, args: { device: a, up: 9s, down: 1s, features: [drop_writes, "
                  "corrupt_bio_byte: [3, r, 255, 0], random_read_corrupt: 10%] } }") ==
          "0 2048 flakey a 0 9 1 8 drop_writes corrupt_bio_byte 3 r 255 0 random_read_corrupt "
          "100000000;");
    CHECK(one_row("{ target: flakey, args: { device: a, up: 9s, down: 1s, features: [ "
                  "{ corrupt_bio_byte: { nth: 3, dir: r, flags: 0, value: 255 } } ] } }") ==
          "0 2048 flakey a 0 9 1 5 corrupt_bio_byte 3 r 255 0;");
    CHECK(one_row("{ target: flakey, args: { device: a, up: 9s, down: 1s } }") ==
          "0 2048 flakey a 0 9 1 0;");
    CHECK(one_row("{ target: flakey, args: { device: a, up: 1m30s, down: 250ms } }") ==
          "0 2048 flakey a 0 90 250ms 0;");
    CHECK(one_row("{ length: 8, target: error }") == "0 8 error;");
    CHECK(one_row("{ length: 8, target: zero, args: {} }") == "0 8 zero;");
}

TEST_CASE("numbers of seconds are dm's in dm's forms only") {
    std::string slugs;
    rows_of("    table: [ { target: flakey, args: { device: a, up: 9, down: 1 } } ]", &slugs);
    CHECK(slugs == "unit-missing unit-missing ");
    CHECK(one_row("{ target: flakey, args: [a, 0, 9, 1] }") == "0 2048 flakey a 0 9 1;");
}

TEST_CASE("what a segment leaves out follows from the others") {
    CHECK(one_row("{ target: linear, args: { device: a } }, { target: linear, args: { device: b, "
                  "offset: 1000 } }, { length: 8, target: zero }") ==
          "0 2048 linear a 0;2048 1048 linear b 1000;3096 8 zero;");
    CHECK(one_row("{ target: striped, args: { chunk: 64KiB, devices: [a, { device: b, offset: 1 }] "
                  "} }") == "0 3840 striped 2 128 a 0 b 1;");
}

TEST_CASE("pasted names are mapped") {
    CHECK(rows_of("    map: { \"253:0\": a, sdb: b }\n    table: |\n      0 8 linear 253:0 0\n"
                  "      8 8 linear sdb 0\n      16 8 linear /dev/mapper/a 0") ==
          "0 8 linear a 0;8 8 linear b 0;16 8 linear a 0;");
    CHECK(rows_of(
              "    map: { 253:0: a, 253:1: b }\n    table: 0 256 striped 2 128 253:0 0 253:1 0") ==
          "0 256 striped 2 128 a 0 b 0;");
    std::string slugs;
    rows_of("    table: 0 8 linear 253:7 0", &slugs);
    CHECK(slugs == "unmapped-device ");
}

TEST_CASE("dm text splits as dm splits it") {
    const auto words = split_words(" a\\ b\tc\\\\d  e\\");
    REQUIRE(words.size() == 3);
    CHECK(words[0].text == "a b");
    CHECK(words[0].offset == 1);
    CHECK(words[0].length == 4);
    CHECK(words[1].text == "c\\d");
    CHECK(words[2].text == "e\\");

    const DmTable table = parse_dm_text("\n# comment\n 0 08 zero\r\n\n8 8 error a b");
    REQUIRE(table.rows.size() == 2);
    CHECK(table.lines == std::vector<std::uint32_t>{2, 4});
    CHECK(table.rows[0] == dmcore::RowSpec{0, 8, "zero", {}});
    CHECK(table.rows[1] == dmcore::RowSpec{8, 8, "error", {"a", "b"}});
    CHECK(parse_dm_text("0 8\n-1 8 zero\n0 99999999999999999999 zero\n\n").faults.size() == 3);
    CHECK(parse_dm_text("").rows.empty());
}
