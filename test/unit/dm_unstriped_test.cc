// unstriped (dm-semantics 7.9).
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;

namespace {

struct Disk {
    World world;
    Probe& r = world.probe("r", 4000);

    /// Where sector `at` of a device of one row lies below.
    std::uint64_t place(const std::string& args, std::uint64_t at) {
        MappedDevice& device =
            world.device("m" + std::to_string(++made), "0 1024 unstriped " + args);
        r.seen.clear();
        REQUIRE(world.io(device, Op::read, at, 1)->status() == Status::ok);
        REQUIRE(r.seen.size() == 1);
        return r.seen[0].sector;
    }
    /// The slug of the error that loading this ends with; empty: it loads.
    std::string error_of(const std::string& table) {
        try {
            world.build("bad", table);
        } catch (const TableError& error) {
            return error.slug;
        }
        return {};
    }
    int made = 0;
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "each sector lies where its member has it (V14, V15, V16)") {
    const std::tuple<const char*, std::uint64_t, std::uint64_t> vectors[] = {
        {"4 256 0 r 0", 0, 0},      {"4 256 0 r 0", 255, 255}, {"4 256 0 r 0", 256, 1024},
        {"4 256 0 r 0", 700, 2236}, {"4 256 3 r 0", 0, 768},   {"4 256 3 r 0", 256, 1792},
        {"4 256 3 r 0", 511, 2047}, {"2 1 1 r 10", 0, 11},     {"2 1 1 r 10", 1, 13},
        {"2 1 1 r 10", 5, 21}};
    for (const auto& [args, at, expected] : vectors) {
        CAPTURE(args);
        CAPTURE(at);
        CHECK(place(args, at) == expected);
    }
}

TEST_CASE_FIXTURE(Disk, "it undoes striped, sector for sector (V17)") {
    for (const char* name : {"a", "b", "c"}) world.probe(name, 48);
    MappedDevice& whole = world.device("whole", "0 144 striped 3 12 a 0 b 0 c 0");
    const char* legs[] = {"a", "b", "c"};
    for (int k = 0; k < 3; ++k) {
        MappedDevice& one = world.device("one" + std::to_string(k),
                                         "0 48 unstriped 3 12 " + std::to_string(k) + " whole 0");
        Probe& leg = world.probe(legs[k]);
        for (std::uint64_t at = 0; at < 48; ++at) {
            leg.seen.clear();
            world.io(one, Op::read, at, 1);
            REQUIRE(leg.seen.size() == 1);
            CHECK(leg.seen[0].sector == at);
        }
    }
    CHECK(world.io(whole, Op::read, 143, 1)->status() == Status::ok);
}

TEST_CASE_FIXTURE(Disk, "rows count from the start of the line, as since early 2026") {
    // With the device's sector number, sector 8 would lie in row 1 of the member.
    MappedDevice& device = world.device("m", "0 8 zero\n8 16 unstriped 2 8 1 r 100");
    world.io(device, Op::read, 8, 1);
    world.io(device, Op::read, 16, 1);
    CHECK(r.ranges() == Ranges{{108, 1}, {124, 1}});
}

TEST_CASE_FIXTURE(Disk, "I/O is split at its chunk, zeroes are written, discards refused (1.9)") {
    MappedDevice& device = world.device("m", "0 240 unstriped 3 12 1 r 20");
    world.io(device, Op::write, 0, 30, 1);
    CHECK(r.ranges() == Ranges{{32, 12}, {68, 12}, {104, 6}});
    r.seen.clear();
    CHECK(world.io(device, Op::write_zeroes, 10, 4)->status() == Status::ok);
    CHECK(r.seen == std::vector<Probe::Seen>{{Op::write, 42, 2, false, nullptr},
                                             {Op::write, 68, 2, false, nullptr}});
    CHECK(world.io(device, Op::discard, 0, 12)->status() == Status::not_supported);
    CHECK_FALSE(device.lane(0).limits().discard);
}

TEST_CASE_FIXTURE(Disk, "flushes go on, and the write cache is that of below ([D-7])") {
    MappedDevice& device = world.device("m", "0 240 unstriped 3 12 1 r 20");
    CHECK(device.lane(0).limits().write_cache);
    CHECK(world.io(device, Op::flush, 0, 0)->status() == Status::ok);
    CHECK(r.seen == std::vector<Probe::Seen>{{Op::flush, 0, 0, false, nullptr}});
}

TEST_CASE_FIXTURE(Disk, "what dm refuses is refused, its quirks are taken (6.7, V92)") {
    CHECK(error_of("0 8 unstriped 2 8 0 r") == "argument-count");
    CHECK(error_of("0 8 unstriped 2 8 0 r 0 0") == "argument-count");
    CHECK(error_of("0 8 unstriped 0 8 0 r 0") == "bad-number");
    CHECK(error_of("0 8 unstriped 2 0 0 r 0") == "bad-number");
    CHECK(error_of("0 8 unstriped x 8 0 r 0") == "bad-number");
    CHECK(error_of("0 8 unstriped 2 8 x r 0") == "bad-number");
    CHECK(error_of("0 8 unstriped 2 8 0 r -1") == "bad-number");
    CHECK(error_of("0 8 unstriped 2 8 4294967296 r 0") == "bad-number");  // [D-5]
    CHECK(error_of("0 8 unstriped 2 8 3 r 0") == "bad-number");
    CHECK(error_of("0 8 unstriped 2 8 0 s 0") == "unknown-device");
    CHECK(error_of("0 60 unstriped 2 8 0 r 0") == "stripe-size");
    CHECK(error_of("0 8 unstriped 2 8 2 r 0").empty());
    CHECK(error_of("0 8 unstriped 1 8 9 r 0").empty());
    CHECK(error_of("0 8 unstriped +2 +8 +1 r 0").empty());  // 6.2
    CHECK(error_of("0 32 striped +2 +16 r 0 r 16").empty());
    CHECK(error_of("0 8 unstriped 2 8 1 r +0") == "bad-number");
    CHECK(place("2 8 2 r 0", 0) == 16);  // The first member, one row later.
}

TEST_CASE_FIXTURE(Disk, "only as much as the row's length is looked for below ([T-9])") {
    CHECK(error_of("0 4000 unstriped 2 8 0 r 0").empty());
    CHECK(error_of("0 4008 unstriped 2 8 0 r 0") == "past-end");
    CHECK(error_of("0 8 unstriped 2 8 0 r 4000") == "past-end");
    // What lies past the end fails, and is not sent.
    MappedDevice& device = world.device("m", "0 4000 unstriped 2 8 0 r 0");
    CHECK(world.io(device, Op::read, 1992, 8)->status() == Status::ok);
    r.seen.clear();
    CHECK(world.io(device, Op::read, 2000, 1)->status() == Status::io_error);
    CHECK(world.io(device, Op::write, 2000, 8)->status() == Status::io_error);
    CHECK(r.seen.empty());
    // Nor can a number so large that its sum wraps come out as a good one.
    CHECK(error_of("0 8 unstriped 1 4294967295 4294967295 r 0") == "stripe-size");
    CHECK(error_of("0 4294967295 unstriped 1 4294967295 4294967295 r 0") == "too-long");
    CHECK(error_of("0 18014398509481983 unstriped 4294967295 1 0 r 0") == "too-long");
}

TEST_CASE_FIXTURE(Disk, "its texts come back as they went in (6.5)") {
    MappedDevice& device = world.device("m", "0 240 unstriped 3 12 1 r 20");
    const Table& table = *device.lane(0).table();
    CHECK(table.table_text() == "0 240 unstriped 3 12 1 r 20\n");
    CHECK(table.table_text(TextForm::full) == table.table_text());
    CHECK(table.status_text() == "0 240 unstriped \n");
}
