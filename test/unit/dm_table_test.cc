// Why: what a table may say and what it says of itself (dm-semantics 6.1 to 6.7). Scripts are
// written against these texts and refusals.
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;

namespace {

/// Why the table is refused, and where; an empty slug: it is not.
struct Refusal {
    std::string slug;
    int row = TableError::none;
    int word = TableError::none;
    friend bool operator==(const Refusal&, const Refusal&) = default;
};

struct Disks {
    World world;
    Probe& d = world.probe("d", 1000);
    Probe& large = world.probe("large", 1000);  // Of blocks of 4096 bytes.

    Disks() { large.shape().logical_block_bytes = 4096; }
    Refusal refusal(const std::string& text) {
        try {
            world.build("m", text);
        } catch (const TableError& error) {
            return {error.slug, error.row, error.word};
        }
        return {};
    }
    std::string status_of(MappedDevice& device) { return device.lane(0).table()->status_text(); }
};

}  // namespace

namespace doctest {
template <>
struct StringMaker<Refusal> {
    static String convert(const Refusal& one) {
        return (one.slug + " row " + std::to_string(one.row) + " word " + std::to_string(one.word))
            .c_str();
    }
};
}  // namespace doctest

TEST_CASE_FIXTURE(Disks,
                  "rows follow one another from 0, the last end is the size ([T-1], [T-5])") {
    CHECK(refusal("") == Refusal{"empty-table"});                                // [T-3]
    CHECK(refusal("10 90 zero") == Refusal{"table-gap", 0});                     // V86
    CHECK(refusal("0 100 zero\n99 1 zero") == Refusal{"table-overlap", 1});      // V87
    CHECK(refusal("0 100 zero\n101 1 zero") == Refusal{"table-gap", 1});         // V87
    CHECK(refusal("0 8 zero\n16 8 zero\n8 8 zero") == Refusal{"table-gap", 1});  // Out of order.
    MappedDevice& device = world.device("m", "0 100 linear d 0\n100 17 error\n117 3 zero");
    CHECK(device.lane(0).limits().size_sectors == 120);
    CHECK(world.io(device, Op::read, 119, 1)->status() == Status::ok);
    CHECK(world.io(device, Op::read, 119, 2)->status() == Status::io_error);
}

TEST_CASE_FIXTURE(Disks, "a row has a sector, and a table ends at 2^54 - 1 ([T-2], V88)") {
    CHECK(refusal("0 0 zero") == Refusal{"zero-length", 0});
    CHECK(refusal("0 8 zero\n8 0 zero") == Refusal{"zero-length", 1});
    CHECK(refusal("0 18014398509481984 zero") == Refusal{"too-long", 0});
    CHECK(refusal("0 18014398509481983 zero") == Refusal{});
    CHECK(refusal("0 18014398509481983 zero\n18014398509481983 1 zero") == Refusal{"too-long", 1});
    CHECK(refusal("0 8 zero\n8 18446744073709551615 zero") == Refusal{"too-long", 1});  // Wraps.
}

TEST_CASE("a table has at most 1,048,576 rows ([T-3])") {
    std::vector<RowSpec> rows;
    for (std::uint64_t i = 0; i < table_rows_max; ++i) rows.push_back({i, 1, "zero", {}});
    CHECK_NOTHROW(check_rows(rows));
    rows.push_back({table_rows_max, 1, "zero", {}});
    CHECK_THROWS_WITH_AS(check_rows(rows), "a table has at most 1048576 segments", TableError);
}

TEST_CASE_FIXTURE(Disks, "a device over something that can't be written can't be written") {
    CHECK_FALSE(world.device("m", "0 8 linear d 0").lane(0).limits().read_only);
    world.probe("rom", 8).shape().read_only = true;
    CHECK(world.device("n", "0 8 linear d 0\n8 8 linear rom 0").lane(0).limits().read_only);
}

TEST_CASE_FIXTURE(Disks, "each sector is found in its row, whatever the lengths of the rows") {
    const std::vector<std::vector<std::uint64_t>> tables = {{1},
                                                            {1, 1},
                                                            {8, 8, 8, 8},
                                                            {8, 8, 8, 3},
                                                            {12, 12, 12, 12, 12},
                                                            {1, 1, 1, 1, 5000, 1, 1},
                                                            {5000, 1, 1, 1, 1},
                                                            {7, 1, 129, 1, 64, 1000, 2, 1, 1, 33}};
    for (const auto& lengths : tables) {
        std::string text;
        std::uint64_t start = 0;
        for (const std::uint64_t length : lengths) {
            text += std::to_string(start) + ' ' + std::to_string(length) + " zero\n";
            start += length;
        }
        Table& table = *world.device("m" + std::to_string(start), text).lane(0).table();
        std::uint64_t sector = 0;
        for (std::size_t row = 0; row < lengths.size(); ++row) {
            for (std::uint64_t i = 0; i < lengths[row]; ++i, ++sector) {
                REQUIRE(table.find(sector) == &table.rows()[row]);
            }
        }
        CHECK(table.find(sector) == nullptr);
        CHECK(table.find(UINT64_MAX) == nullptr);
    }
}

TEST_CASE_FIXTURE(Disks, "a target is known by its exact name ([T-4])") {
    CHECK(refusal("0 8 flaky d 0 1 1") == Refusal{"unknown-target", 0});
    CHECK(refusal("0 8 Linear d 0") == Refusal{"unknown-target", 0});
    CHECK(refusal("0 8 zero\n8 8 snapshot d 0") == Refusal{"unknown-target", 1});
}

TEST_CASE_FIXTURE(Disks, "a device is found by name and opened once, however often ([T-7])") {
    CHECK(refusal("0 8 linear nowhere 0") == Refusal{"unknown-device", 0, 0});
    CHECK(refusal("0 8 linear m 0") == Refusal{"unknown-device", 0, 0});  // There is no m yet.
    MappedDevice& device =
        world.device("m", "0 8 linear d 0\n8 8 flakey d 8 1 0\n16 16 striped 2 8 d 16 d 24");
    CHECK(device.lane(0).table()->lowers().size() == 1);
}

TEST_CASE_FIXTURE(Disks, "one wrong word refuses the table, and is pointed at (6.7, [T-8], V89)") {
    struct Bad {
        const char* text;
        Refusal refusal;
    };
    const Bad all[] = {
        {"0 8 zero 1", {"argument-count", 0, 0}},
        {"0 8 linear d", {"argument-count", 0}},
        {"0 8 linear d x", {"bad-number", 0, 1}},
        {"0 8 linear d +1", {"bad-number", 0, 1}},
        {"0 8 linear d 18446744073709551616", {"bad-number", 0, 1}},  // [D-5]
        {"0 8 linear d 0\n8 8 linear d -1", {"bad-number", 1, 1}},
        {"0 8 striped", {"argument-count", 0}},
        {"0 100 striped 3 16 d 0 d 0 d 0", {"stripe-size", 0}},
        {"0 96 striped 3 15 d 0 d 0 d 0", {"stripe-size", 0}},
        {"0 96 striped 3 16 d 0 d 0", {"argument-count", 0}},
        {"0 8 striped 0 16", {"bad-number", 0, 0}},
        {"0 8 striped 1 0 d 0", {"bad-number", 0, 1}},
        {"0 8 striped 1 8 d x", {"bad-number", 0, 3}},
        {"0 8 error d x", {"bad-number", 0, 1}},
        {"0 8 error nowhere 0", {"unknown-device", 0, 0}},
    };
    for (const Bad& bad : all) {
        CAPTURE(bad.text);
        CHECK(refusal(bad.text) == bad.refusal);
    }
    CHECK_THROWS_WITH_AS(world.build("m", "0 8 striped 2 3 d 0 d 0"),
                         "length 8s is not a multiple of 2 stripes x chunk 3s (6s); "
                         "6s and 12s are",
                         TableError);
    CHECK_THROWS_WITH_AS(world.build("m", "0 8 striped 2 8 d 0 d 0"),
                         "length 8s is not a multiple of 2 stripes x chunk 4KiB (16s); 16s is",
                         TableError);
    CHECK(refusal("0 8 striped +2 +4 d 0 d 4") == Refusal{});  // 6.2
    CHECK(refusal("0 8 error d") == Refusal{});                // Any count but 2 is ignored.
    CHECK(refusal("0 8 error d x y") == Refusal{});
}

TEST_CASE_FIXTURE(Disks, "what a row uses lies inside the device ([T-9], V90)") {
    CHECK(refusal("0 100 linear d 950") == Refusal{"past-end", 0});
    CHECK(refusal("0 50 linear d 950") == Refusal{});
    CHECK(refusal("0 8 linear d 1000") == Refusal{"past-end", 0});
    CHECK(refusal("0 200 striped 2 10 d 0 d 950") == Refusal{"past-end", 0});
}

TEST_CASE_FIXTURE(Disks, "a row begins and ends at blocks of its device ([T-10], V91)") {
    CHECK(refusal("0 100 linear large 0") == Refusal{"misaligned", 0});
    CHECK(refusal("0 96 linear large 4") == Refusal{"misaligned", 0});
    CHECK(refusal("0 96 linear large 8") == Refusal{});
    CHECK(refusal("0 96 striped 2 4 large 0 large 48") == Refusal{});
    CHECK(refusal("0 24 striped 2 4 large 0 large 48") == Refusal{"misaligned", 0});
}

TEST_CASE_FIXTURE(Disks, "no block of the device is cut into parts that a row can't do ([T-11])") {
    // The device has blocks of 8 sectors if anything below has.
    CHECK(refusal("0 4 linear d 0\n4 8 linear large 0") == Refusal{"misaligned", 1});
    CHECK(refusal("0 4 zero\n4 8 linear large 0") == Refusal{"misaligned", 1});
    CHECK(refusal("0 8 linear large 0\n8 4 linear d 0") == Refusal{"misaligned", 1});  // Ends off.
    CHECK(refusal("0 4 linear d 0\n4 4 linear d 8\n8 8 linear large 0") == Refusal{});
    CHECK(refusal("0 3 linear d 0\n3 13 linear d 8\n16 8 linear large 0") == Refusal{});
    CHECK(refusal("0 1 zero\n1 1 zero\n2 1 zero\n3 5 zero\n8 8 linear large 0") == Refusal{});
    CHECK(refusal("0 1 zero\n1 1 zero\n2 8 linear large 0") == Refusal{"misaligned", 2});
    CHECK(refusal("0 3 linear d 0") == Refusal{});  // Of one sector each.
}

TEST_CASE_FIXTURE(Disks, "table and status text read as dmsetup prints them (6.5, V96)") {
    world.probe("a", 1000);
    Probe& b = world.probe("b", 1000);
    MappedDevice& device =
        world.device("m",
                     "0 32 striped 2 16 a 8 b 0\n32 8 linear a 100\n40 8 error a 5\n48 8 zero\n"
                     "56 8 flakey a 0 9 1 1 drop_writes\n64 8 flakey a 0 0 180");
    CHECK(device.lane(0).table()->table_text() ==
          "0 32 striped 2 16 a 8 b 0\n32 8 linear a 100\n40 8 error \n48 8 zero \n"
          "56 8 flakey a 0 9 1 1 drop_writes\n64 8 flakey a 0 0 180 2 error_reads error_writes\n");
    b.decide = [](const Bio&) { return Answer::fail; };
    CHECK(world.io(device, Op::read, 16, 1)->status() == Status::io_error);
    CHECK(status_of(device) ==
          "0 32 striped 2 a b 1 AD\n32 8 linear \n40 8 error \n48 8 zero \n56 8 flakey \n64 8 "
          "flakey \n");
}

TEST_CASE_FIXTURE(Disks,
                  "stripes have a letter each, which errors of their device turn (V94, V95)") {
    for (const char* name : {"a", "b", "c"}) world.probe(name, 1000);
    MappedDevice& three = world.device("m", "0 144 striped 3 16 a 0 b 0 c 0");
    CHECK(status_of(three) == "0 144 striped 3 a b c 1 AAA\n");
    Probe& b = world.probe("b");
    b.decide = [](const Bio&) { return Answer::fail; };
    for (const Status harmless : {Status::not_supported, Status::requeue}) {
        b.failure.status = harmless;
        world.io(three, Op::discard, 0, 144);
        CHECK(status_of(three) == "0 144 striped 3 a b c 1 AAA\n");
    }
    b.failure.status = Status::io_error;
    world.io(three, Op::read, 16, 1);
    CHECK(status_of(three) == "0 144 striped 3 a b c 1 ADA\n");
    MappedDevice& twice = world.device("n", "0 32 striped 2 16 b 0 b 500");
    world.io(twice, Op::read, 0, 1);
    CHECK(status_of(twice) == "0 32 striped 2 b b 1 DD\n");
}
