#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;

namespace {

constexpr const char* s3x16 = "0 144 striped 3 16 a 0 b 0 c 0";

struct Stripes {
    World world;
    Probe& a = world.probe("a", 4096);
    Probe& b = world.probe("b", 4096);
    Probe& c = world.probe("c", 4096);
};

}  // namespace

TEST_CASE("linear moves a sector by its start (V1..V3)") {
    World world;
    Probe& d = world.probe("d", 10000);
    Probe& e = world.probe("e", 10000);
    MappedDevice& device = world.device("m", "0 100 linear d 2048\n100 50 linear e 4096");
    world.io(device, Op::read, 7, 1);
    world.io(device, Op::read, 100, 1);
    world.io(device, Op::read, 149, 1);
    CHECK(d.ranges() == Ranges{{2055, 1}});
    CHECK(e.ranges() == Ranges{{4096, 1}, {4145, 1}});
}

TEST_CASE_FIXTURE(Stripes, "striped deals chunks out in turn (V4..V8)") {
    MappedDevice& device = world.device("m", s3x16);
    for (const std::uint64_t sector : {0, 15, 48, 63, 96}) world.io(device, Op::read, sector, 1);
    for (const std::uint64_t sector : {16, 31, 64}) world.io(device, Op::read, sector, 1);
    for (const std::uint64_t sector : {32, 47, 95, 143}) world.io(device, Op::read, sector, 1);
    CHECK(a.ranges() == Ranges{{0, 1}, {15, 1}, {16, 1}, {31, 1}, {32, 1}});
    CHECK(b.ranges() == Ranges{{0, 1}, {15, 1}, {16, 1}});
    CHECK(c.ranges() == Ranges{{0, 1}, {15, 1}, {31, 1}, {47, 1}});
}

TEST_CASE_FIXTURE(Stripes, "stripes and chunks need not be powers of two (V9, V13)") {
    MappedDevice& odd = world.device("m", "0 144 striped 3 24 a 0 b 0 c 0");
    world.io(odd, Op::read, 24, 1);
    world.io(odd, Op::read, 100, 1);
    MappedDevice& moved = world.device("n", "0 144 striped 3 16 a 100 b 200 c 300");
    world.io(moved, Op::read, 64, 1);
    CHECK(b.ranges() == Ranges{{0, 1}, {28, 1}, {216, 1}});
}

TEST_CASE("stripes behind another row, of one sector, and of one leg (V10, V11, V12)") {
    World world;
    std::vector<Probe*> legs;
    for (const char* name : {"a", "b", "c", "d"}) legs.push_back(&world.probe(name, 1000));
    MappedDevice& behind = world.device("m", "0 1000 zero\n1000 64 striped 4 8 a 0 b 0 c 0 d 0");
    for (const std::uint64_t sector : {1000, 1031, 1032, 1063}) {
        world.io(behind, Op::read, sector, 1);
    }
    CHECK(legs[0]->ranges() == Ranges{{0, 1}, {8, 1}});
    CHECK(legs[1]->ranges().empty());
    CHECK(legs[3]->ranges() == Ranges{{7, 1}, {15, 1}});
    for (Probe* leg : legs) leg->seen.clear();
    MappedDevice& thin = world.device("n", "0 10 striped 2 1 a 0 b 0");
    for (const std::uint64_t sector : {0, 1, 2, 3, 9}) world.io(thin, Op::read, sector, 1);
    CHECK(legs[0]->ranges() == Ranges{{0, 1}, {1, 1}});
    CHECK(legs[1]->ranges() == Ranges{{0, 1}, {1, 1}, {4, 1}});
    MappedDevice& one = world.device("o", "0 160 striped 1 16 c 500");
    world.io(one, Op::read, 17, 1);
    CHECK(legs[2]->ranges() == Ranges{{517, 1}});
}

TEST_CASE_FIXTURE(Stripes, "a read is cut at chunk ends, in ascending order (V18, [L-32])") {
    MappedDevice& device = world.device("m", s3x16);
    const auto request = world.io(device, Op::read, 10, 50);
    CHECK(request->answers == 1);
    CHECK(a.ranges() == Ranges{{10, 6}, {16, 12}});
    CHECK(b.ranges() == Ranges{{0, 16}});
    CHECK(c.ranges() == Ranges{{0, 16}});
    CHECK(world.stats(device).splits == 3);
}

TEST_CASE("a request over three rows is three parts (V19), and every row's data is its own") {
    World world;
    Probe& d = world.probe("d", 1000);
    MappedDevice& device =
        world.device("m", "0 100 linear d 0\n100 28 linear d 200\n128 72 linear d 400");
    world.io(device, Op::write, 90, 40, 0x5a);
    CHECK(d.ranges() == Ranges{{90, 10}, {200, 28}, {400, 2}});
    const DeviceStats stats = world.stats(device);
    CHECK(stats.ops[1].ios == 3);       // k parts are k I/Os...
    CHECK(stats.ops[1].sectors == 40);  // ...whose sectors add up to the request.
}

TEST_CASE("one row is never cut, however long the request (V21, [L-15])") {
    World world;
    Probe& d = world.probe("d", 1'000'000);
    MappedDevice& device = world.device("m", "0 1000000 linear d 0");
    world.io(device, Op::read, 0, 65536);
    CHECK(d.ranges() == Ranges{{0, 65536}});
}

TEST_CASE("a request past the end fails whole, nothing is issued (V23, [L-2])") {
    World world;
    Probe& d = world.probe("d", 200);
    MappedDevice& device = world.device("m", "0 200 linear d 0");
    CHECK(world.io(device, Op::read, 190, 20)->status() == Status::io_error);
    CHECK(d.seen.empty());
    CHECK(world.io(device, Op::flush, 500, 0)->status() == Status::ok);  // V24
}

TEST_CASE_FIXTURE(Stripes, "FUA goes to every part (V26)") {
    MappedDevice& device = world.device("m", s3x16);
    auto request = world.make(Op::write, 8, 16, 1);
    request->bio.fua = true;
    world.submit(device, *request);
    world.run();
    REQUIRE(a.seen.size() == 1);
    REQUIRE(b.seen.size() == 1);
    CHECK(a.seen[0].fua);
    CHECK(b.seen[0].fua);
}

TEST_CASE_FIXTURE(Stripes,
                  "a discard is one clone a stripe, and each sector exactly once (V27..V35)") {
    struct Vector {
        std::uint64_t start, sectors;
        Ranges a, b, c;
    };
    const Vector vectors[] = {
        {0, 144, {{0, 48}}, {{0, 48}}, {{0, 48}}},
        {8, 16, {{8, 8}}, {{0, 8}}, {}},
        {20, 8, {}, {{4, 8}}, {}},
        {8, 48, {{8, 16}}, {{0, 16}}, {{0, 16}}},
        {40, 16, {{16, 8}}, {}, {{8, 8}}},
        {47, 2, {{16, 1}}, {}, {{15, 1}}},
        {96, 47, {{32, 16}}, {{32, 16}}, {{32, 15}}},
        {10, 100, {{10, 36}}, {{0, 32}}, {{0, 32}}},
    };
    MappedDevice& device = world.device("m", s3x16);
    for (const Vector& vector : vectors) {
        CAPTURE(vector.start);
        a.seen.clear();
        b.seen.clear();
        c.seen.clear();
        CHECK(world.io(device, Op::discard, vector.start, vector.sectors)->status() == Status::ok);
        CHECK(a.ranges() == vector.a);
        CHECK(b.ranges() == vector.b);
        CHECK(c.ranges() == vector.c);
    }
    CHECK(world.stats(device).ops[3].ios == std::size(vectors));  // One I/O each.
}

TEST_CASE_FIXTURE(Stripes,
                  "a flush of linear and striped rows goes once to each device ([L-23], V53)") {
    std::string rows;
    for (int i = 0; i < 10; ++i) {
        rows += std::to_string(i * 10) + " 10 linear a " + std::to_string(i) + "\n";
    }
    MappedDevice& device = world.device("m", rows + "100 48 striped 3 16 a 0 b 0 c 0");
    world.io(device, Op::flush, 0, 0);
    CHECK(a.seen.size() == 1);
    CHECK(b.seen.size() == 1);
    CHECK(c.seen.size() == 1);
    CHECK(world.stats(device).ops[2].ios == 1);
}

TEST_CASE_FIXTURE(Stripes, "a flush through other targets goes through each row ([L-22])") {
    MappedDevice& device =
        world.device("m", "0 10 flakey a 0 180 0\n10 10 linear a 10\n20 10 error\n30 10 zero");
    CHECK(world.io(device, Op::flush, 0, 0)->status() == Status::ok);
    CHECK(a.seen.size() == 2);
}

TEST_CASE(
    "error fails reads, writes and discards, passes flushes, and does the good part of a request") {
    World world;
    Probe& d = world.probe("d", 300);
    MappedDevice& device =
        world.device("m", "0 100 linear d 0\n100 100 error\n200 100 linear d 200");
    CHECK(world.io(device, Op::write, 90, 120, 1)->status() == Status::io_error);  // [L-37]
    CHECK(d.ranges() == Ranges{{90, 10}, {200, 10}});
    CHECK(world.stats(device).ops[1].ios == 2);  // A killed part is not counted.
    CHECK(world.stats(device).ops[1].sectors == 20);
    MappedDevice& all = world.device("n", "0 100 error");
    CHECK(world.io(all, Op::flush, 0, 0)->status() == Status::ok);
    const auto read = world.io(all, Op::read, 3, 1);
    CHECK(read->status() == Status::io_error);
    CHECK(read->bio.failure.injected);
    CHECK(std::string(read->bio.failure.where) == "error on 'n'");
    CHECK(read->bio.failure.sector == 3);
}

TEST_CASE("zero reads zeroes and forgets writes") {
    World world;
    MappedDevice& device = world.device("m", "0 100 zero");
    CHECK(world.io(device, Op::write, 0, 8, 7)->status() == Status::ok);
    const auto read = world.io(device, Op::read, 0, 8, 9);
    CHECK(read->data == std::vector<std::byte>(8 * 512));
}

TEST_CASE("write_zeroes is written where a target has none of its own ([D-14])") {
    World world;
    Probe& d = world.probe("d", 20000);
    MappedDevice& device = world.device("m", "0 5000 flakey d 0 180 0\n5000 5000 linear d 5000");
    world.io(device, Op::write, 0, 10000, 0xff);
    d.seen.clear();
    CHECK(world.io(device, Op::write_zeroes, 1, 9998)->status() == Status::ok);
    CHECK(d.ranges() == Ranges{{1, 2048}, {2049, 2048}, {4097, 903}, {5000, 4999}});
    CHECK(d.seen[0].op == Op::write);
    CHECK(d.seen[3].op == Op::write_zeroes);
    const auto read = world.io(device, Op::read, 0, 10000);
    CHECK(read->data[511] == std::byte{0xff});
    CHECK(read->data[9999 * 512] == std::byte{0xff});
    CHECK(std::all_of(read->data.begin() + 512, read->data.end() - 512,
                      [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("without a table every I/O fails; with a first table it is served ([L-7])") {
    World world;
    world.probe("d", 100);
    MappedDevice& device = world.device("m", "");
    CHECK(world.io(device, Op::read, 0, 1)->status() == Status::io_error);
    device.load(world.build("m", "0 100 linear d 0"));
    device.resume([] {});
    world.run();
    CHECK(world.io(device, Op::read, 0, 1)->status() == Status::ok);
}

TEST_CASE("devices stack: a table may stand on another device") {
    World world;
    Probe& d = world.probe("d", 1000);
    world.probe("e", 1000);
    world.device("low", "0 64 striped 2 8 d 100 e 0");
    MappedDevice& top = world.device("top", "0 32 linear low 16");
    const auto request = world.io(top, Op::write, 0, 32, 3);
    CHECK(request->answers == 1);
    CHECK(d.ranges() == Ranges{{108, 8}, {116, 8}});
}

TEST_CASE("a table of 100,000 rows finds the right row") {
    World world;
    Probe& d = world.probe("d", 1'000'000);
    std::string rows;
    for (int i = 0; i < 100'000; ++i) {
        rows += std::to_string(i * 3) + " 3 linear d " + std::to_string(i * 7) + "\n";
    }
    MappedDevice& device = world.device("m", rows);
    world.io(device, Op::read, 3 * 77'777 + 1, 1);
    CHECK(d.ranges() == Ranges{{7 * 77'777 + 1, 1}});
}
