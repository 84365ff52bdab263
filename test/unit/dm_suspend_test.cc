// Suspend, resume and swap of tables under load (dm-semantics 5).
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;

namespace {

struct Disk {
    World world;
    Probe& d = world.probe("d", 1000);
    MappedDevice& device = world.device("m", "0 100 linear d 0");

    void keep(bool on) {
        d.decide = on ? std::function([](const Bio&) { return Answer::keep; }) : nullptr;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "suspend, of either kind, waits for all that is below ([S-1], [R-13])") {
    for (const bool noflush : {false, true}) {
        keep(true);
        const auto read = world.io(device, Op::read, 0, 8);
        CHECK_FALSE(world.suspend(device, noflush));
        const auto late = world.io(device, Op::read, 8, 8);
        CHECK(world.stats(device).deferred == 1);
        keep(false);
        d.finish_kept();
        world.run();
        CHECK(device.suspended());
        CHECK(read->answers == 1);
        CHECK(late->answers == 0);  // [S-2]: the deferred list is not drained.
        CHECK(d.seen.size() == 1);  // Nor is a flush sent.
        world.resume(device);
        CHECK(late->answers == 1);
        d.seen.clear();
    }
}

TEST_CASE_FIXTURE(Disk, "when a device counts as suspended every reply is on its way ([D-11])") {
    keep(true);
    auto write = world.make(Op::write, 0, 8);
    world.submit(device, *write);
    int answers_when_quiet = -1;
    device.lane(0).close_gate(false, [&] { answers_when_quiet = write->answers; });
    world.run();
    CHECK(answers_when_quiet == -1);
    d.finish_kept();
    world.run();
    CHECK(answers_when_quiet == 1);
    device.lane(0).open_gate();
}

TEST_CASE_FIXTURE(Disk,
                  "a request that a store answers at once is answered before the quiet after it") {
    world.device("up", "0 100 linear m 0");
    auto read = world.make(Op::read, 0, 8);
    world.submit(device, *read);  // Its end waits on the agenda.
    int answers_when_quiet = -1;
    device.lane(0).close_gate(false, [&] { answers_when_quiet = read->answers; });
    world.run();
    CHECK(answers_when_quiet == 1);
    device.lane(0).open_gate();
}

TEST_CASE_FIXTURE(
    Disk, "suspending twice, resuming twice and an empty device are all fine (5.1, [S-5])") {
    CHECK(world.suspend(device));
    CHECK(world.suspend(device));
    world.resume(device);
    world.resume(device);
    CHECK_FALSE(device.suspended());
    MappedDevice& empty = world.device("empty", "");
    CHECK(world.suspend(empty));
    CHECK(world.io(empty, Op::read, 0, 1)->status() == Status::io_error);  // [L-7]
    world.resume(empty, "0 100 linear d 0");
    CHECK(world.io(empty, Op::read, 0, 1)->status() == Status::ok);
    CHECK(empty.event_number() == 1);
}

TEST_CASE_FIXTURE(Disk, "undo takes back a suspend that waits, and one that is done ([R-16])") {
    keep(true);
    const auto read = world.io(device, Op::read, 0, 8);
    bool told = false;
    device.suspend(true, [&] { told = true; });
    world.run();
    device.undo_suspend([] {});
    world.run();
    CHECK(d.seen.size() == 1);
    const auto next = world.io(device, Op::read, 8, 8);  // Goes below, is not deferred.
    CHECK(d.seen.size() == 2);
    keep(false);
    d.finish_kept();
    world.run();
    CHECK_FALSE(told);
    CHECK_FALSE(device.suspended());
    CHECK(read->answers == 1);
    CHECK(world.suspend(device));
    device.undo_suspend([] {});
    world.run();
    CHECK(world.io(device, Op::read, 0, 1)->answers == 1);
}

TEST_CASE_FIXTURE(
    Disk, "a swap by resume alone suspends first; I/O under two tables never overlaps (5.3)") {
    Probe& e = world.probe("e", 1000);
    keep(true);
    const auto below = world.io(device, Op::read, 0, 8);
    world.resume(device, "0 100 linear e 0");
    const auto later = world.io(device, Op::read, 0, 8);
    CHECK(e.seen.empty());
    CHECK(device.has_live_table());
    d.finish_kept();
    world.run();
    CHECK(below->answers == 1);
    CHECK(later->answers == 1);
    CHECK(e.seen.size() == 1);
    CHECK(device.event_number() == 2);
}

TEST_CASE_FIXTURE(Disk, "both slots can be looked at, and a table on its way is in none (5.1)") {
    CHECK(device.inactive() == nullptr);
    CHECK(device.tables().size() == 1);
    device.load(world.build("m", "0 50 error"));
    CHECK(device.has_inactive_table());
    CHECK(device.inactive()->table_text() == "0 50 error \n");
    CHECK(device.live()->rows[0].target == "linear");
    CHECK(device.tables().size() == 2);
    keep(true);
    const auto read = world.io(device, Op::read, 0, 8);
    device.resume([] {});  // Waits for the read.
    world.run();
    CHECK_FALSE(device.has_inactive_table());
    CHECK(device.inactive() == nullptr);
    CHECK(device.live()->rows[0].target == "linear");
    CHECK(device.tables().size() == 2);  // What either stands on must stay.
    d.finish_kept();
    world.run();
    CHECK(device.live()->rows[0].target == "error");
    CHECK(device.tables().size() == 1);
    CHECK(read->status() == Status::ok);
}

TEST_CASE_FIXTURE(Disk, "a cleared or replaced inactive table never goes live (5.1)") {
    device.load(world.build("m", "0 50 error"));
    device.clear();
    world.resume(device);
    CHECK(world.io(device, Op::read, 0, 1)->status() == Status::ok);
    device.load(world.build("m", "0 50 error"));
    world.resume(device, "0 70 linear d 0");
    CHECK(device.lane(0).limits().size_sectors == 70);
}

TEST_CASE_FIXTURE(
    Disk,
    "deferred I/O meets the new size: too far fails whole, the rest is served ([S-11], [R-20])") {
    world.suspend(device);
    const auto fits = world.io(device, Op::write, 40, 10, 1);
    const auto across = world.io(device, Op::write, 45, 10, 2);
    world.resume(device, "0 50 linear d 0");
    CHECK(fits->status() == Status::ok);
    CHECK(across->status() == Status::io_error);
    CHECK(d.ranges() == Ranges{{40, 10}});
    world.resume(device, "0 500 linear d 0");
    CHECK(world.io(device, Op::write, 400, 100)->status() == Status::ok);
    CHECK(world.io(device, Op::write, 500, 1)->status() == Status::io_error);
    CHECK(world.io(device, Op::read, UINT64_MAX - 1, 4)->status() == Status::io_error);
    CHECK(world.io(device, Op::read, 500, 0)->status() == Status::io_error);  // [L-19]
}

TEST_CASE("plain resume keeps a target's state, a new table starts anew ([S-16])") {
    World world;
    Probe& d = world.probe("d", 100);
    world.probe("e", 100);
    MappedDevice& device = world.device("m", "0 32 striped 2 16 d 0 e 0");
    d.decide = [](const Bio&) { return Answer::fail; };
    world.io(device, Op::read, 0, 1);
    world.suspend(device);
    world.resume(device);
    CHECK(device.lane(0).table()->status_text() == "0 32 striped 2 d e 1 DA\n");
    world.resume(device, "0 32 striped 2 16 d 0 e 0");
    CHECK(device.lane(0).table()->status_text() == "0 32 striped 2 d e 1 AA\n");
}

TEST_CASE(
    "suspends, undos and swaps to other cuts and sizes, 1000 rounds over 1 to 3 shards ([R-1], "
    "[R-15], [R-21])") {
    for (const unsigned shards : {1U, 2U, 3U}) {
        CAPTURE(shards);
        World world(shards);
        Random random(shards);
        bool wild = true;
        for (const char* name : {"a", "b"}) {
            world.probe(name, 300).decide = [&](const Bio&) {
                const std::uint64_t dice = wild ? random.below(10) : 9;
                return dice < 2 ? Answer::keep : Answer::good;
            };
        }
        const std::vector<std::string> tables = {"0 200 striped 2 10 a 0 b 0",
                                                 "0 200 striped 2 4 a 0 b 0",
                                                 "0 90 linear a 7\n90 110 linear b 0",
                                                 "0 120 linear b 100",
                                                 "0 300 linear a 0",
                                                 "0 200 linear a 0\n200 1 zero\n201 50 linear b 0"};
        MappedDevice& device = world.device("m", tables[0]);
        std::vector<std::unique_ptr<Request>> all;
        const auto let_go = [&](bool everything) {
            for (const char* name : {"a", "b"}) {
                Probe& probe = world.probe(name);
                while (!probe.kept.empty() && (everything || random.below(2) == 0)) {
                    Bio& bio = *probe.kept.front();
                    probe.kept.pop_front();
                    if (random.below(4) == 0 && wild) {
                        bio.fail({.status = Status::requeue}, 0);
                    } else {
                        probe.finish(bio);
                    }
                }
            }
            world.run();
        };
        std::size_t refused = 0;
        for (int round = 0; round < 1000; ++round) {
            for (std::uint64_t i = random.below(6); i > 0; --i) {
                const Op op = static_cast<Op>(random.below(op_count));
                const bool flush = op == Op::flush;
                const std::uint64_t sector = flush ? 0 : random.below(80);
                all.push_back(world.make(op, sector, flush ? 0 : 1 + random.below(40)));
                world.submit(device, *all.back(), static_cast<unsigned>(random.below(shards)));
                if (random.below(2) == 0) world.run();
            }
            if (random.below(3) != 0) continue;
            const bool reached = world.suspend(device, random.below(4) != 0);
            let_go(false);
            if (!reached && !device.suspended() && random.below(2) == 0) {
                device.undo_suspend([] {});
            } else {
                let_go(true);
                REQUIRE(device.suspended());
                REQUIRE(world.stats(device).pending == 0);
                if (random.below(2) == 0) {
                    device.load(world.build("m", tables[random.below(tables.size())]));
                }
                device.resume([] {});
            }
            world.run();
        }
        wild = false;
        let_go(true);
        world.run();
        for (const auto& each : all) {
            REQUIRE(each->answers == 1);
            REQUIRE(each->status() != Status::requeue);
            refused += each->status() != Status::ok;
        }
        CHECK(refused < all.size() / 2);
        CHECK(world.idle());
    }
}
