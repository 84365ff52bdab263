// delay (dm-semantics 7.6).
#include <doctest/doctest.h>

#include "stack.h"
#include "unit/allocations.h"

using namespace stack;
using std::chrono::milliseconds;

namespace {

struct Disk {
    std::vector<std::unique_ptr<Request>> started;  // Outlives the world.
    World world;
    Probe& d = world.probe("d", 1000);
    Probe& e = world.probe("e", 1000);
    Probe& third = world.probe("f", 1000);

    void start(MappedDevice& device, Op op, std::uint64_t sector, std::uint64_t sectors) {
        started.push_back(world.io(device, op, sector, sectors));
    }
    std::string status(MappedDevice& device) { return device.lane(0).table()->status_text(); }
    std::string error_of(const std::string& table) {
        try {
            world.build("bad", table);
        } catch (const TableError& error) {
            return error.slug;
        }
        return {};
    }
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "each class has its device, start and delay ([D1-1])") {
    MappedDevice& device = world.device("m", "0 100 delay d 1 10 e 2 20 f 3 30");
    const auto read = world.io(device, Op::read, 5, 1);
    const auto write = world.io(device, Op::write, 5, 1);
    const auto discard = world.io(device, Op::discard, 5, 1);
    const auto zeroes = world.io(device, Op::write_zeroes, 9, 1);  // Written as bytes (1.9).
    const auto flush = world.io(device, Op::flush, 0, 0);
    CHECK(status(device) == "0 100 delay 1 3 1\n");
    world.pass(milliseconds(9));
    CHECK(d.seen.empty());
    world.pass(milliseconds(1));
    CHECK(d.seen == std::vector<Probe::Seen>{{Op::read, 6, 1, false, nullptr}});
    CHECK(read->answers == 1);
    world.pass(milliseconds(9));
    CHECK(e.seen.empty());
    world.pass(milliseconds(1));
    CHECK(e.seen == std::vector<Probe::Seen>{{Op::write, 7, 1, false, nullptr},
                                             {Op::discard, 7, 1, false, nullptr},
                                             {Op::write, 11, 1, false, nullptr}});
    CHECK(status(device) == "0 100 delay 0 0 1\n");
    world.pass(milliseconds(10));
    CHECK(third.seen == std::vector<Probe::Seen>{{Op::flush, 0, 0, false, nullptr}});
    CHECK(status(device) == "0 100 delay 0 0 0\n");
    for (const auto* each : {&write, &discard, &zeroes, &flush}) CHECK((*each)->answers == 1);
}

TEST_CASE_FIXTURE(Disk, "one or two triples serve the classes after them (7.6)") {
    MappedDevice& one = world.device("one", "0 100 delay d 1 10");
    start(one, Op::read, 0, 1);
    start(one, Op::write, 0, 1);
    start(one, Op::flush, 0, 0);
    CHECK(d.seen.empty());
    world.pass(milliseconds(10));
    CHECK(d.seen.size() == 3);
    MappedDevice& two = world.device("two", "0 100 delay d 0 0 e 8 20");
    start(two, Op::read, 0, 1);
    CHECK(d.seen.size() == 4);
    start(two, Op::write, 0, 1);
    start(two, Op::flush, 0, 0);
    CHECK(e.seen.empty());
    world.pass(milliseconds(20));
    CHECK(e.seen == std::vector<Probe::Seen>{{Op::write, 8, 1, false, nullptr},
                                             {Op::flush, 0, 0, false, nullptr}});
    CHECK(d.seen.size() == 4);
}

TEST_CASE_FIXTURE(Disk, "no delay sends at once, a shorter one overtakes ([D1-2])") {
    MappedDevice& device = world.device("m", "0 100 delay d 0 30 d 0 10 d 0 0");
    start(device, Op::read, 1, 1);
    start(device, Op::write, 2, 1);
    start(device, Op::flush, 0, 0);
    CHECK(d.ranges() == Ranges{{0, 0}});
    world.pass(milliseconds(30));
    CHECK(d.ranges() == Ranges{{0, 0}, {2, 1}, {1, 1}});
}

TEST_CASE_FIXTURE(Disk, "what is due in one sweep goes in order of arrival ([D1-2])") {
    MappedDevice& device = world.device("m", "0 100 delay d 0 30 d 0 10");
    start(device, Op::read, 1, 1);  // Due at 30.
    world.pass(milliseconds(5));
    start(device, Op::write, 2, 1);  // Due at 15.
    start(device, Op::read, 3, 1);   // Due at 35.
    // A clock that is late finds all of them due at once.
    world.clock.set(world.clock.now() + milliseconds(100));
    world.pass(milliseconds(0));
    CHECK(d.ranges() == Ranges{{1, 1}, {2, 1}, {3, 1}});
}

TEST_CASE_FIXTURE(Disk, "short delays are as exact as long ones ([D1-3])") {
    for (const int delay : {1, 49, 50, 3'600'000}) {
        CAPTURE(delay);
        MappedDevice& device =
            world.device("m" + std::to_string(delay), "0 100 delay d 0 " + std::to_string(delay));
        const auto read = world.io(device, Op::read, 0, 1);
        world.pass(milliseconds(delay) - std::chrono::nanoseconds(1));
        CHECK(read->answers == 0);
        world.pass(std::chrono::nanoseconds(1));
        CHECK(read->answers == 1);
    }
}

TEST_CASE_FIXTURE(Disk, "suspend sends what is held, in order, and resume delays again ([D1-4])") {
    for (const bool noflush : {false, true}) {
        CAPTURE(noflush);
        MappedDevice& device =
            world.device(noflush ? "n" : "m", "0 100 delay d 0 50 d 0 20 d 0 30");
        d.seen.clear();
        const auto read = world.io(device, Op::read, 1, 1);
        const auto write = world.io(device, Op::write, 2, 1);
        const auto flush = world.io(device, Op::flush, 0, 0);
        CHECK(world.suspend(device, noflush));
        CHECK(d.ranges() == Ranges{{1, 1}, {2, 1}, {0, 0}});
        for (const auto* each : {&read, &write, &flush}) CHECK((*each)->answers == 1);
        CHECK(status(device) == "0 100 delay 0 0 0\n");
        const auto late = world.io(device, Op::write, 3, 1);
        world.resume(device);
        CHECK(d.seen.size() == 3);
        CHECK(status(device) == "0 100 delay 0 1 0\n");
        world.pass(milliseconds(20));
        CHECK(late->answers == 1);
    }
}

TEST_CASE_FIXTURE(Disk,
                  "while a suspend waits nothing is delayed, nor what starved before it "
                  "([D1-4], [S-6])") {
    MappedDevice& device = world.device("m", "0 100 delay d 0 50");
    d.decide = [](const Bio&) { return Answer::keep; };
    const auto read = world.io(device, Op::read, 1, 1);
    CHECK_FALSE(world.suspend(device));  // Sent, and not back yet.
    CHECK(d.kept.size() == 1);
    d.decide = nullptr;
    d.finish_kept();
    world.run();
    CHECK(device.suspended());
    CHECK(read->answers == 1);
}

TEST_CASE_FIXTURE(Disk, "a new table may take its place while it holds I/O ([D1-4])") {
    MappedDevice& device = world.device("m", "0 100 delay d 0 50");
    const auto write = world.io(device, Op::write, 1, 1);
    world.resume(device, "0 100 linear e 0");
    CHECK(write->answers == 1);
    CHECK(d.ranges() == Ranges{{1, 1}});
    world.pass(milliseconds(100));  // No timer of the old one is left.
    CHECK(d.seen.size() == 1);
}

TEST_CASE_FIXTURE(Disk, "I/O counts from when it is sent, and its time from arrival ([D1-5])") {
    MappedDevice& device = world.device("m", "0 100 delay d 0 50");
    d.decide = [](const Bio&) { return Answer::keep; };
    start(device, Op::read, 1, 1);
    CHECK(world.stats(device).in_flight() == 0);
    CHECK(world.stats(device).pending == 1);
    world.pass(milliseconds(50));
    CHECK(world.stats(device).in_flight() == 1);
    d.finish_kept();
    world.run();
    const DeviceStats stats = world.stats(device);
    const OpStats& reads = stats.ops[static_cast<std::size_t>(Op::read)];
    CHECK(reads.ios == 1);
    CHECK(reads.time == milliseconds(50));
    CHECK(stats.busy == milliseconds(0));
}

TEST_CASE_FIXTURE(Disk, "held I/O of a dead connection is not sent ([O-2])") {
    MappedDevice& device = world.device("m", "0 100 delay d 0 50");
    const auto dead = world.io(device, Op::write, 1, 1);
    const auto alive = world.io(device, Op::write, 2, 1);
    world.abandon(*dead);
    world.pass(milliseconds(50));
    CHECK(dead->status() == Status::shutdown);
    CHECK(dead->answers == 1);
    CHECK(alive->status() == Status::ok);
    CHECK(d.ranges() == Ranges{{2, 1}});
    CHECK(status(device) == "0 100 delay 0 0 0\n");
    CHECK(world.stats(device).in_flight() == 0);
    CHECK(world.idle());
}

TEST_CASE("status counts what all lanes hold (6.5)") {
    World world(2);
    world.probe("d", 1000);
    MappedDevice& device = world.device("m", "0 100 delay d 0 50 d 0 60");
    auto one = world.make(Op::read, 0, 1);
    auto two = world.make(Op::read, 1, 1);
    auto flush = world.make(Op::flush, 0, 0);
    world.submit(device, *one, 0);
    world.submit(device, *two, 1);
    world.submit(device, *flush, 1);
    for (const unsigned lane : {0U, 1U}) {
        CHECK(device.lane(lane).table()->status_text() == "0 100 delay 2 0 1\n");
    }
    CHECK(device.lane(1).table()->rows()[0].target->state_text() == "3 held");
    world.pass(milliseconds(50));
    CHECK(device.lane(0).table()->status_text() == "0 100 delay 0 0 1\n");
    world.pass(milliseconds(10));
    CHECK(device.lane(0).table()->rows()[0].target->state_text().empty());
    CHECK(flush->answers == 1);
}

TEST_CASE_FIXTURE(Disk, "a flush of the new table does not reach what it only reads from ([O-4])") {
    // Writes to d under the first table are durable once a flush has reached d.
    MappedDevice& device = world.device("m", "0 100 linear d 0");
    start(device, Op::write, 0, 1);
    world.resume(device, "0 100 delay d 0 0 e 0 0");
    d.seen.clear();
    CHECK(world.io(device, Op::flush, 0, 0)->status() == Status::ok);
    CHECK(d.ranges() == Ranges{{0, 0}});
    CHECK(e.ranges() == Ranges{{0, 0}});
    start(device, Op::flush, 0, 0);
    CHECK(d.seen.size() == 1);
    CHECK(e.seen.size() == 2);
}

TEST_CASE_FIXTURE(Disk, "holding allocates nothing once warm") {
    MappedDevice& device = world.device("m", "0 1000 delay d 0 50");
    d.seen.reserve(10'000);
    const auto round = [&] {
        std::vector<std::unique_ptr<Request>> all;
        for (int i = 0; i < 300; ++i) all.push_back(world.make(Op::write, 0, 1));
        const std::size_t before = allocation_count();
        for (auto& each : all) world.submit(device, *each);
        const std::size_t after = allocation_count();
        world.pass(milliseconds(50));
        for (auto& each : all) REQUIRE(each->answers == 1);
        return after - before;
    };
    round();
    CHECK(round() <= 1);  // The one timer, a node of the test's clock.
}

TEST_CASE_FIXTURE(Disk, "what dm refuses is refused (6.7, V92, [D-5])") {
    for (const char* args :
         {"", "d 0", "d 0 10 e", "d 0 10 e 0", "d 0 10 e 0 20 f", "d 0 10 e 0 20 f 0 30 d 0 40"}) {
        CAPTURE(args);
        CHECK(error_of(std::string("0 8 delay ") + args) == "argument-count");
    }
    CHECK(error_of("0 8 delay d x 10") == "bad-number");
    CHECK(error_of("0 8 delay d 0 x") == "bad-number");
    CHECK(error_of("0 8 delay d 0 +1") == "bad-number");  // 6.2
    CHECK(error_of("0 8 delay d 0 10 e 0 y") == "bad-number");
    CHECK(error_of("0 8 delay d 0 4294967296") == "bad-number");
    CHECK(error_of("0 8 delay d 0 4294967295").empty());
    CHECK(error_of("0 8 delay x 0 10") == "unknown-device");
    CHECK(error_of("0 8 delay d 993 10") == "past-end");  // [T-9], of each area.
    CHECK(error_of("0 8 delay d 0 10 e 993 10") == "past-end");
    CHECK(error_of("0 8 delay d 0 10 e 0 10 f 993 10") == "past-end");
}

TEST_CASE_FIXTURE(Disk, "its table comes back as it went in (6.5)") {
    for (const char* args : {"d 1 10", "d 1 10 e 2 0", "d 1 10 e 2 0 f 3 30"}) {
        MappedDevice& device = world.device(args, std::string("0 100 delay ") + args);
        const Table& table = *device.lane(0).table();
        CHECK(table.table_text() == std::string("0 100 delay ") + args + "\n");
        CHECK(table.table_text(TextForm::full) == table.table_text());
    }
}
