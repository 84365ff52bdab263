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

TEST_CASE("delay's triples are written as far as they are wanted") {
    const std::string one = "0 2048 delay a 0 10;";
    CHECK(one_row("{ target: delay, args: { device: a, delay: 10ms } }") == one);
    CHECK(one_row("{ target: delay, args: [a, 0, 10] }") == one);
    CHECK(rows_of("    table: 0 2048 delay a 0 10") == one);
    CHECK(one_row("{ target: delay, args: { device: a, offset: 8s, delay: 10ms, write_device: b, "
                  "write_delay: 1s } }") == "0 2040 delay a 8 10 b 0 1000;");
    // The length that is left out is what all of them have.
    CHECK(one_row("{ target: delay, args: { device: a, delay: 0ms, write_device: b, write_offset: "
                  "4KiB, write_delay: 1s, flush_device: a, flush_offset: 16s, flush_delay: 5ms } "
                  "}") == "0 2032 delay a 0 0 b 8 1000 a 16 5;");
    std::string slugs;
    rows_of("    table: [ { target: delay, args: { device: a, delay: 1ms, write_delay: 1s } } ]",
            &slugs);
    CHECK(slugs == "missing-key ");
    slugs.clear();  // Flushes are never told before writes.
    rows_of(
        "    table: [ { target: delay, args: { device: a, delay: 1ms, flush_device: b, "
        "flush_delay: 1s } } ]",
        &slugs);
    CHECK(slugs == "missing-key missing-key ");
    slugs.clear();
    rows_of("    table: 0 2048 delay a 0 1 b 8 1", &slugs);
    CHECK(slugs == "past-end ");
}

TEST_CASE("dust may begin with bad blocks, in words that only we have") {
    CHECK(one_row("{ target: dust, args: { device: a, block_size: 4KiB } }") ==
          "0 2048 dust a 0 4096;");
    CHECK(
        one_row("{ target: dust, args: { device: a, offset: 8s, block_size: 512B, enabled: false, "
                "bad_blocks: [] } }") == "0 2040 dust a 8 512;");
    const std::string full = "0 2048 dust a 0 512 bad_blocks 60,100-199 enabled;";
    CHECK(one_row("{ target: dust, args: { device: a, block_size: 512B, bad_blocks: [60, 100-199], "
                  "enabled: true } }") == full);
    CHECK(one_row("{ target: dust, args: \"a 0 512 bad_blocks 60,100-199 enabled\" }") == full);
    CHECK(one_row("{ target: dust, args: { device: a, block_size: 512B, enabled: true } }") ==
          "0 2048 dust a 0 512 enabled;");
    const auto slugs_of = [](const std::string& args) {
        std::string slugs;
        rows_of("    table: [ { target: dust, args: " + args + " } ]", &slugs);
        return slugs;
    };
    CHECK(slugs_of("{ device: a, block_size: 512B, bad_blocks: 60 }") == "wrong-kind ");
    CHECK(slugs_of("{ device: a, block_size: 512B, bad_blocks: [5000] }") == "bad-number ");
    CHECK(slugs_of("{ device: a, block_size: 512B, bad_blocks: [9-1] }") == "bad-number ");
    CHECK(slugs_of("{ device: a, block_size: 512B, bad_blocks: [x] }") == "bad-number ");
    CHECK(slugs_of("{ device: a, block_size: 512 }") == "unit-missing ");
    CHECK(slugs_of("{ device: a, block_size: 100B }") == "block-size ");
    CHECK(slugs_of("[a, 0, 512, now]") == "argument-count ");
    CHECK(!slugs_of("{ device: a, block_size: 512B, enabled: 7 }").empty());
}

TEST_CASE("unstriped takes the length of one member where none is given") {
    const std::string row = "0 672 unstriped 3 12 1 a 20;";
    CHECK(one_row("{ target: unstriped, args: { stripes: 3, chunk: 12s, stripe: 1, device: a, "
                  "offset: 20s } }") == row);
    CHECK(one_row("{ target: unstriped, args: 3 12 1 a 20 }") == row);
    CHECK(rows_of("    table: 0 672 unstriped 3 12 1 a 20") == row);
    CHECK(one_row("{ length: 24s, target: unstriped, args: { stripes: 1, chunk: 4KiB, stripe: 0, "
                  "device: a } }") == "0 24 unstriped 1 8 0 a 0;");
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
