// Why: `dmnbd stats --sysfs` claims to be what /sys/block/dm-N/stat would say (dm-semantics 4).
#include <doctest/doctest.h>

#include <sstream>

#include "unit/stack.h"

using namespace stack;
using namespace std::chrono_literals;

namespace {

/// Columns by their number in dm-semantics 4.2, from 1.
std::vector<std::uint64_t> columns(World& world, MappedDevice& device) {
    std::istringstream text(sysfs_stat(world.stats(device)));
    std::vector<std::uint64_t> all{0};
    for (std::uint64_t each = 0; text >> each;) all.push_back(each);
    REQUIRE(all.size() == 18);
    return all;
}

struct Columns : World {
    explicit Columns(unsigned shards = 1) : World(shards) {
        for (const char* name : {"a", "b", "c"}) probe(name, 1000);
    }
};

constexpr const char* s3x16 = "0 144 striped 3 16 a 0 b 0 c 0\n";

}  // namespace

TEST_CASE("[A-6] [V51] a request of four chunks counts four I/Os whose sectors add up") {
    Columns world;
    MappedDevice& device = world.device("d", s3x16);
    world.io(device, Op::read, 0, 64);
    const auto column = columns(world, device);
    CHECK(column[1] == 4);
    CHECK(column[3] == 64);
    for (const int zero : {2, 5, 6, 7, 9, 12, 13, 14, 16, 17}) CHECK(column[zero] == 0);
}

TEST_CASE("[V52] a flush is a write without sectors, and the flush columns stay 0") {
    Columns world;
    MappedDevice& device = world.device("d", "0 100 linear a 0\n100 100 linear b 0\n");
    world.io(device, Op::flush, 0, 0);
    const auto column = columns(world, device);
    CHECK(column[5] == 1);
    CHECK(column[7] == 0);
    CHECK(column[16] == 0);
    CHECK(column[17] == 0);
    CHECK(world.probe("a").seen.size() == 1);
    CHECK(world.probe("b").seen.size() == 1);
}

TEST_CASE("[V53] ten rows over one device are flushed once") {
    Columns world;
    std::string rows;
    for (int i = 0; i < 10; ++i) {
        rows += std::to_string(i * 10) + " 10 linear a " + std::to_string(i * 10) + "\n";
    }
    MappedDevice& device = world.device("d", rows);
    world.io(device, Op::flush, 0, 0);
    CHECK(world.probe("a").seen.size() == 1);
    CHECK(columns(world, device)[5] == 1);
}

TEST_CASE("[V55] a discard of all stripes is one I/O with its full length, and one on each leg") {
    Columns world;
    MappedDevice& below = world.device("below", "0 48 linear a 0\n");
    MappedDevice& device = world.device("d", "0 144 striped 3 16 below 0 b 0 c 0\n");
    world.io(device, Op::discard, 0, 48);
    const auto column = columns(world, device);
    CHECK(column[12] == 1);
    CHECK(column[14] == 48);
    CHECK(column[5] == 0);
    const auto leg = columns(world, below);
    CHECK(leg[12] == 1);
    CHECK(leg[14] == 16);
}

TEST_CASE("[A-4] [V56] what a target kills does not count") {
    Columns world;
    MappedDevice& device = world.device("d", "0 100 linear a 0\n100 100 error\n");
    CHECK(world.io(device, Op::read, 90, 20)->status() == Status::io_error);
    const auto column = columns(world, device);
    CHECK(column[1] == 1);
    CHECK(column[3] == 10);
}

TEST_CASE("[L-3] [L-24] a flush that nothing below needs succeeds, touches and counts nothing") {
    Columns world;
    MappedDevice& nobody = world.device("nobody", "0 100 error\n");
    CHECK(world.io(nobody, Op::flush, 0, 0)->status() == Status::ok);
    CHECK(columns(world, nobody)[5] == 0);
    MappedDevice& above = world.device("above", "0 100 linear nobody 0\n");
    CHECK(world.io(above, Op::flush, 0, 0)->status() == Status::ok);
    CHECK(columns(world, above)[5] == 0);
    CHECK(columns(world, nobody)[5] == 0);
}

TEST_CASE("[A-3] a flush that nobody takes counts where something below has a cache") {
    Columns world;
    MappedDevice& device = world.device("d", "0 100 error a 0\n");
    CHECK(world.io(device, Op::flush, 0, 0)->status() == Status::ok);
    CHECK(columns(world, device)[5] == 1);
    CHECK(world.probe("a").seen.empty());
}

TEST_CASE("[A-4] a flush of a dead connection does not count") {
    Columns dead;
    MappedDevice& device = dead.device("d", "0 100 linear a 0\n");
    auto flush = dead.make(Op::flush, 0, 0);
    flush->origin.dead = true;
    dead.submit(device, *flush);
    dead.run();
    CHECK(flush->status() == Status::shutdown);
    CHECK(columns(dead, device)[5] == 0);
}

TEST_CASE("[A-5] dropped writes and writes that fail below count with all their sectors") {
    // 4.3: flakey's error_writes and drop_writes, and an error of the device below.
    Columns world;
    MappedDevice& errors = world.device("errors", "0 100 flakey a 0 0 1 1 error_writes\n");
    CHECK(world.io(errors, Op::write, 0, 8)->status() == Status::io_error);
    CHECK(columns(world, errors)[5] == 1);
    CHECK(columns(world, errors)[7] == 8);
    MappedDevice& drops = world.device("drops", "0 100 flakey a 0 0 1 1 drop_writes\n");
    CHECK(world.io(drops, Op::write, 0, 8)->status() == Status::ok);
    CHECK(columns(world, drops)[7] == 8);
    world.probe("b").decide = [](const Bio&) { return Answer::fail; };
    MappedDevice& broken = world.device("broken", "0 100 linear b 0\n");
    CHECK(world.io(broken, Op::write, 0, 8)->status() == Status::io_error);
    CHECK(columns(world, broken)[7] == 8);
}

TEST_CASE("[A-2] times: each direction's sum, time in flight, and the queue's total") {
    Columns world;
    MappedDevice& device = world.device("d", "0 100 linear a 0\n");
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    auto read = world.make(Op::read, 0, 8);
    auto write = world.make(Op::write, 8, 8);
    auto discard = world.make(Op::discard, 16, 8);
    world.submit(device, *read);
    world.pass(10ms);
    world.submit(device, *write);
    world.submit(device, *discard);
    CHECK(columns(world, device)[9] == 3);
    world.pass(5ms);
    CHECK(columns(world, device)[10] == 15);  // Still in flight: up to now.
    world.probe("a").finish_kept();
    world.run();
    world.pass(100ms);
    const auto column = columns(world, device);
    CHECK(column[4] == 15);
    CHECK(column[8] == 5);
    CHECK(column[15] == 5);
    CHECK(column[11] == 25);
    CHECK(column[10] == 15);  // Idle time is not in it.
    CHECK(column[9] == 0);
}

TEST_CASE("[D-16] times are nanoseconds inside; milliseconds are cut off, not rounded") {
    Columns world;
    MappedDevice& device = world.device("d", "0 100 linear a 0\n");
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    for (const int round : {1, 2, 3}) {
        auto read = world.make(Op::read, 0, 8);
        world.submit(device, *read);
        world.pass(999'999ns);
        world.probe("a").finish_kept();
        world.run();
        CHECK(world.stats(device).ops[0].time == round * 999'999ns);
        // The sum is cut, not each of them.
        CHECK(columns(world, device)[4] == static_cast<std::uint64_t>(round - 1));
    }
}

TEST_CASE("[A-1] counting starts when a target lets the I/O go, the time when it came") {
    Columns world;
    MappedDevice& device = world.device("d", "0 100 delay a 0 20\n");
    auto read = world.make(Op::read, 0, 8);
    world.submit(device, *read);
    world.run();
    CHECK(columns(world, device)[9] == 0);
    CHECK(world.stats(device).pending == 1);
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    world.pass(20ms);
    CHECK(columns(world, device)[9] == 1);
    world.pass(3ms);
    world.probe("a").finish_kept();
    world.run();
    CHECK(columns(world, device)[4] == 23);
    CHECK(columns(world, device)[10] == 3);
}

TEST_CASE("[A-7] [A-8] [A-10] [H-4] a part that was requeued counts once, whenever that happened") {
    // The kernel counts each attempt of one requeued at its end; ours does not [D-3].
    Columns world;
    MappedDevice& device = world.device("d", "0 100 linear a 0\n");
    Probe& below = world.probe("a");
    below.decide = [](const Bio&) { return Answer::keep; };
    auto write = world.make(Op::write, 0, 8);
    world.submit(device, *write);
    for (int round = 0; round < 3; ++round) {
        device.suspend(true, [] {});
        world.run();
        Bio& clone = *below.kept.front();
        below.kept.pop_front();
        clone.fail({.status = Status::requeue}, clone.iter.sector);
        world.run();
        REQUIRE(device.suspended());
        CHECK(columns(world, device)[9] == 0);
        CHECK(world.stats(device).deferred == 1);
        CHECK(columns(world, device)[5] == 0);
        world.resume(device);
    }
    below.finish_kept();
    world.run();
    CHECK(write->answers == 1);
    CHECK(columns(world, device)[5] == 1);
    CHECK(columns(world, device)[7] == 8);
    CHECK(columns(world, device)[9] == 0);
}

TEST_CASE("a device's columns are the sum over its shards, its busy time that of the busiest") {
    Columns world(2);
    MappedDevice& device = world.device("d", "0 100 linear a 0\n");
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    auto first = world.make(Op::read, 0, 8);
    auto second = world.make(Op::read, 8, 8);
    world.submit(device, *first, 0);
    world.pass(4ms);
    world.submit(device, *second, 1);
    world.pass(2ms);
    CHECK(columns(world, device)[9] == 2);
    world.probe("a").finish_kept();
    world.run();
    const auto column = columns(world, device);
    CHECK(column[1] == 2);
    CHECK(column[4] == 8);
    CHECK(column[10] == 6);
}

TEST_CASE("the columns are as wide as the kernel's") {
    DeviceStats stats;
    stats.ops[0].ios = 7;
    const std::string text = sysfs_stat(stats);
    CHECK(text.starts_with("       7        0        0"));
    CHECK(text.size() == 17 * 9 - 1);
}
