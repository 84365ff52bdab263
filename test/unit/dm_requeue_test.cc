// The two stages of requeue, over devices that answer as a script says. Part starts of the request
// of V18, `read 10+50` on S3x16: 10 -> a 10, 16 -> b 0, 32 -> c 0, 48 (the last) -> a 16.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "stack.h"

using namespace stack;

namespace {

constexpr const char* s3x16 = "0 144 striped 3 16 a 0 b 0 c 0";

struct Stripes {
    World world;
    Probe& a = world.probe("a", 4096);
    Probe& b = world.probe("b", 4096);
    Probe& c = world.probe("c", 4096);
    std::vector<std::pair<char, std::uint64_t>> order;  // Of everything that reached a probe.

    /// What the next I/O to (probe, sector) is answered; after that all is well.
    std::map<std::pair<char, std::uint64_t>, Answer> next;

    Stripes() {
        for (Probe* probe : {&a, &b, &c}) {
            probe->decide = [this, name = probe->name()[0]](const Bio& bio) {
                order.emplace_back(name, bio.iter.sector);
                const auto found = next.find({name, bio.iter.sector});
                if (found == next.end()) return Answer::good;
                const Answer answer = found->second;
                next.erase(found);
                return answer;
            };
        }
    }
    std::size_t seen() const { return a.seen.size() + b.seen.size() + c.seen.size(); }
    void forget() {
        order.clear();
        for (Probe* probe : {&a, &b, &c}) probe->seen.clear();
    }
};

using Order = std::vector<std::pair<char, std::uint64_t>>;
constexpr std::pair<char, std::uint64_t> parts[] = {{'a', 10}, {'b', 0}, {'c', 0}, {'a', 16}};
constexpr std::pair<std::uint64_t, std::uint64_t> extents[] = {
    {10, 6}, {16, 16}, {32, 16}, {48, 12}};

}  // namespace

TEST_CASE_FIXTURE(Stripes,
                  "a requeued part alone is run again after resume, for all subsets "
                  "(V41, [R-1]..[R-6], [R-13]..[R-15], [R-21])") {
    MappedDevice& device = world.device("m", s3x16);
    auto whole = world.make(Op::write, 0, 144);
    fill(whole->data, 0);
    world.submit(device, *whole);
    world.run();
    for (unsigned subset = 1; subset < 16; ++subset) {
        CAPTURE(subset);
        forget();
        for (unsigned i = 0; i < 4; ++i) {
            next[parts[i]] = subset >> i & 1 ? Answer::keep : Answer::good;
        }
        auto read = world.make(Op::read, 10, 50, 0, 1000);
        world.submit(device, *read);
        world.run();
        CHECK_FALSE(world.suspend(device));  // the kept ones are below.
        for (Probe* probe : {&a, &b, &c}) {
            for (; !probe->kept.empty(); probe->kept.pop_front()) {
                probe->kept.front()->fail({.status = Status::requeue}, 0);
            }
        }
        world.run();
        CHECK(device.suspended());
        CHECK(seen() == 4);
        CHECK(read->answers == 0);
        const DeviceStats stats = world.stats(device);
        CHECK(stats.pending == 0);
        CHECK(stats.deferred == static_cast<std::uint64_t>(__builtin_popcount(subset)));
        forget();
        world.resume(device);
        Order expected;
        for (unsigned i = 0; i < 4; ++i) {
            if (subset >> i & 1) expected.push_back(parts[i]);
        }
        std::sort(order.begin(), order.end());
        std::sort(expected.begin(), expected.end());
        CHECK(order == expected);
        CHECK(read->answers == 1);
        CHECK(read->status() == Status::ok);
        CHECK(is_filled(read->data, 10));
        CHECK(world.stats(device).pending == 0);
        CHECK(world.idle());
    }
    CHECK(world.stats(device).ops[0].ios ==
          15 * 4);  // Once a part, at its final end [D-3], [R-22].
    CHECK(world.stats(device).ops[0].sectors == 15 * 50);
}

TEST_CASE_FIXTURE(Stripes, "without a noflush suspend a requeue is EIO ([R-10], [R-11], V42)") {
    MappedDevice& device = world.device("m", s3x16);
    for (unsigned i = 0; i < 4; ++i) {
        CAPTURE(i);
        forget();
        next[parts[i]] = Answer::requeue;
        const auto read = world.io(device, Op::read, 10, 50);
        CHECK(read->answers == 1);
        CHECK(read->status() == Status::io_error);
        CHECK(read->bio.failed_at == extents[i].first);
        CHECK(seen() == 4);
    }
    CHECK(world.stats(device).stage_one == 3);  // Split ones take one trip through the worker.
    next[parts[0]] = Answer::keep;
    const auto read = world.io(device, Op::read, 10, 50);
    CHECK_FALSE(world.suspend(device, false));  // A flush suspend grants none either [S-1].
    a.kept.front()->fail({.status = Status::requeue}, 0);
    world.run();
    CHECK(read->status() == Status::io_error);
}

TEST_CASE_FIXTURE(Stripes,
                  "order on the deferred list: a batch as requeued, later ones first (V43, 3.5)") {
    MappedDevice& device = world.device("m", s3x16);
    const auto start = [&] {
        for (const auto& part : parts) next[part] = Answer::keep;
        next.erase(parts[2]);
        auto read = world.make(Op::read, 10, 50);
        world.submit(device, *read);
        world.run();
        world.suspend(device);
        forget();
        return read;
    };
    const auto requeue = [&](Probe& probe) {
        probe.kept.front()->fail({.status = Status::requeue}, 0);
        probe.kept.pop_front();
    };
    auto read = start();
    requeue(a);
    requeue(b);
    requeue(a);
    world.run();
    world.resume(device);
    CHECK(order == Order{parts[0], parts[1], parts[3]});
    CHECK(read->status() == Status::ok);

    read = start();
    requeue(a);
    requeue(b);
    world.run();
    requeue(a);
    world.run();
    const auto late = world.io(device, Op::read, 100, 1);  // Came while the gate was closed [L-10].
    world.resume(device);
    CHECK(order == Order{parts[3], parts[0], parts[1], {'a', 36}});
    CHECK(late->answers == 1);
}

TEST_CASE("an unsplit write is requeued 1000 times and answered once (V44, [R-8], [R-14])") {
    World world;
    Probe& d = world.probe("d", 100);
    MappedDevice& device = world.device("m", "0 100 linear d 0");
    d.decide = [](const Bio&) { return Answer::keep; };
    auto write = world.io(device, Op::write, 5, 3, 9);
    for (int round = 0; round < 1000; ++round) {
        world.suspend(device);
        d.kept.front()->fail({.status = Status::requeue}, 0);
        d.kept.pop_front();
        world.run();
        REQUIRE(device.suspended());
        REQUIRE(world.stats(device).deferred == 1);
        REQUIRE(d.seen.size() == static_cast<std::size_t>(round + 1));  // No spin.
        world.resume(device);
    }
    d.finish_kept();
    world.run();
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::ok);
    CHECK(world.stats(device).stage_one == 0);
    CHECK(world.stats(device).ops[1].ios == 1);
}

TEST_CASE_FIXTURE(Stripes, "a fan-out or flush is run again as a whole (V45, [R-7])") {
    MappedDevice& device = world.device("m", s3x16);
    for (const Op op : {Op::discard, Op::write_zeroes, Op::flush}) {
        forget();
        next[{'b', 0}] = Answer::keep;
        const auto request = world.io(device, op, 0, op == Op::flush ? 0 : 48);
        CHECK(seen() == 3);
        world.suspend(device);
        b.kept.front()->fail({.status = Status::requeue}, 0);
        b.kept.pop_front();
        world.run();
        world.resume(device);
        CHECK(order == Order{{'a', 0}, {'b', 0}, {'c', 0}, {'a', 0}, {'b', 0}, {'c', 0}});
        CHECK(request->answers == 1);
        CHECK(request->status() == Status::ok);
    }
}

TEST_CASE_FIXTURE(
    Stripes, "a sibling's error is final and its part is not issued again (V46, [R-3], [R-4])") {
    MappedDevice& device = world.device("m", s3x16);
    for (unsigned failed = 0; failed < 4; ++failed) {
        for (unsigned again = 0; again < 4; ++again) {
            if (failed == again) continue;
            CAPTURE(failed);
            CAPTURE(again);
            forget();
            next[parts[failed]] = Answer::fail;
            next[parts[again]] = Answer::keep;
            const auto write = world.io(device, Op::write, 10, 50, 1);
            world.suspend(device);
            Probe& probe = *std::array{&a, &b, &c, &a}[again];
            probe.kept.front()->fail({.status = Status::requeue}, 0);
            probe.kept.pop_front();
            world.run();
            CHECK(write->answers == 0);
            forget();
            world.resume(device);
            CHECK(order == Order{parts[again]});
            // Once a later success hid the error of a part that had ended before.
            CHECK(write->answers == 1);
            CHECK(write->status() == Status::io_error);
            CHECK(write->bio.failed_at == extents[failed].first);
        }
    }
}

TEST_CASE_FIXTURE(
    Stripes, "a part behind the end of a shorter table fails, its siblings do not (V47, [R-20])") {
    MappedDevice& device = world.device("m", s3x16);
    next[parts[1]] = next[parts[3]] = Answer::keep;
    const auto read = world.io(device, Op::read, 10, 50);
    world.suspend(device);
    for (Probe* probe : {&a, &b}) {
        probe->kept.front()->fail({.status = Status::requeue}, 0);
        probe->kept.pop_front();
    }
    world.run();
    forget();
    world.resume(device, "0 48 striped 3 16 a 0 b 0 c 0");
    CHECK(order == Order{parts[1]});
    CHECK(read->answers == 1);
    CHECK(read->status() == Status::io_error);
    CHECK(read->bio.failed_at == 48);
}

TEST_CASE_FIXTURE(
    Stripes,
    "inside one unit a requeue beats an error, in any order, while noflush (V48, [R-12])") {
    struct Vector {
        bool requeue_first, suspend;
        Status status;
    };
    const Vector vectors[] = {{false, true, Status::ok},
                              {true, true, Status::ok},
                              {true, false, Status::io_error},
                              {false, false, Status::io_error}};
    MappedDevice& device = world.device("m", s3x16);
    for (const Vector& vector : vectors) {
        CAPTURE(vector.requeue_first);
        CAPTURE(vector.suspend);
        next[{'a', 0}] = next[{'b', 0}] = Answer::keep;
        const auto discard = world.io(device, Op::discard, 0, 48);
        if (vector.suspend) world.suspend(device);
        const auto end = [](Probe& probe, Status status) {
            probe.kept.front()->fail({.status = status}, 0);
            probe.kept.pop_front();
        };
        end(a, vector.requeue_first ? Status::requeue : Status::io_error);
        end(b, vector.requeue_first ? Status::io_error : Status::requeue);
        world.run();
        CHECK(discard->answers == (vector.suspend ? 0 : 1));
        if (vector.suspend) world.resume(device);
        CHECK(discard->answers == 1);
        CHECK(discard->status() == vector.status);
    }
}

TEST_CASE_FIXTURE(Stripes, "suspend waits for a part between the stages (V50, [R-13])") {
    MappedDevice& device = world.device("m", s3x16);
    next[parts[0]] = Answer::keep;
    const auto read = world.io(device, Op::read, 10, 50);
    Lane& lane = device.lane(0);
    bool quiet = false;
    std::uint64_t pending = 99;
    lane.close_gate(true, [&] {
        quiet = true;
        pending = lane.stats().pending;
    });
    a.kept.front()->fail({.status = Status::requeue}, 0);
    CHECK_FALSE(quiet);
    world.run();
    CHECK(quiet);
    CHECK(pending == 0);
    CHECK(lane.stats().deferred == 1);
    lane.open_gate();
    world.run();
    CHECK(read->status() == Status::ok);
}

TEST_CASE_FIXTURE(Stripes, "noflush holds until resume, however long that takes ([S-4])") {
    MappedDevice& device = world.device("m", s3x16);
    for (const auto& part : parts) next[part] = Answer::keep;
    const auto read = world.io(device, Op::read, 10, 50);
    world.suspend(device);
    const auto requeue_one = [&](Probe& probe) {
        Bio& clone = *probe.kept.front();
        probe.kept.pop_front();
        clone.fail({.status = Status::requeue}, 0);
        world.run();
    };
    for (Probe* probe : {&a, &b, &c}) {
        requeue_one(*probe);
        world.pass(std::chrono::hours(1));
        CHECK_FALSE(device.suspended());
    }
    requeue_one(a);
    CHECK(device.suspended());
    CHECK(read->answers == 0);
    forget();
    next[parts[0]] = Answer::requeue;  // After the resume that is an error again.
    world.resume(device);
    CHECK(order == Order{parts[3], parts[2], parts[1], parts[0]});  // Each at the head (3.5).
    CHECK(read->answers == 1);
    CHECK(read->status() == Status::io_error);
    CHECK(read->bio.failed_at == 10);
}

TEST_CASE_FIXTURE(Stripes,
                  "an undone suspend re-issues what was deferred; later requeues fail ([R-16])") {
    MappedDevice& device = world.device("m", s3x16);
    next[parts[0]] = next[parts[1]] = Answer::keep;
    const auto read = world.io(device, Op::read, 10, 50);
    bool told = false;
    device.suspend(true, [&] { told = true; });
    world.run();
    a.kept.front()->fail({.status = Status::requeue}, 0);
    world.run();
    forget();
    device.undo_suspend([] {});
    world.run();
    CHECK(order == Order{parts[0]});
    b.kept.front()->fail({.status = Status::requeue}, 0);
    world.run();
    CHECK(read->answers == 1);
    CHECK(read->status() == Status::io_error);
    CHECK(read->bio.failed_at == 16);
    CHECK_FALSE(told);
    CHECK_FALSE(device.suspended());
}

TEST_CASE_FIXTURE(Stripes,
                  "a requeued part follows the new table, which cuts it anew ([R-9], [R-19])") {
    MappedDevice& device = world.device("m", s3x16);
    next[parts[1]] = Answer::keep;
    auto write = world.make(Op::write, 10, 50, 0, 777);
    fill(write->data, 10);
    world.submit(device, *write);
    world.run();
    std::string table = s3x16;
    for (const unsigned chunk :
         {8U, 4U, 2U, 1U}) {  // Each re-issue is split and requeued once more.
        world.suspend(device);
        while (!b.kept.empty()) {
            b.kept.front()->fail({.status = Status::requeue}, 0);
            b.kept.pop_front();
        }
        world.run();
        REQUIRE(device.suspended());
        b.seen.clear();
        b.decide = [chunk](const Bio&) { return chunk == 1 ? Answer::good : Answer::keep; };
        world.resume(device,
                     "0 16 linear a 1000\n16 128 striped 1 " + std::to_string(chunk) + " b 100");
        CHECK(b.seen.size() == 16 / chunk);
    }
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::ok);
    const auto read = world.io(device, Op::read, 16, 16);
    CHECK(is_filled(read->data, 16));
    CHECK(world.idle());
}

TEST_CASE_FIXTURE(Stripes, "a lost flush is never run again, not even by a requeue ([O-3])") {
    MappedDevice& device = world.device("m", s3x16);
    next[{'a', 0}] = next[{'b', 0}] = Answer::keep;
    const auto flush = world.io(device, Op::flush, 0, 0);
    world.suspend(device);
    a.kept.front()->fail({.status = Status::io_error, .sync_lost = true}, 0);
    b.kept.front()->fail({.status = Status::requeue}, 0);
    world.run();
    CHECK(flush->answers == 1);
    CHECK(flush->status() == Status::io_error);
    CHECK(flush->bio.failure.sync_lost);
}
