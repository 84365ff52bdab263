// What a real disk would never do: order of overlapping writes, death of a connection, reach of a
// flush, and reserves (architecture 4b).
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;
using std::chrono::seconds;

namespace {

struct TwoLanes {
    World world{2};
    Probe& d = world.probe("d", 1000);

    std::unique_ptr<Request> send(MappedDevice& device, Op op, std::uint64_t sector,
                                  std::uint64_t sectors, std::uint8_t seed, unsigned shard) {
        auto request = world.make(op, sector, sectors, seed);
        world.submit(device, *request, shard);
        world.run();
        return request;
    }
    std::byte at(MappedDevice& device, std::uint64_t sector) {
        return world.io(device, Op::read, sector, 1)->data[0];
    }
};

}  // namespace

TEST_CASE_FIXTURE(
    TwoLanes, "a later overlapping write waits behind one that is parked, from any lane ([O-1])") {
    MappedDevice& device = world.device("m", "0 100 linear d 0", with_retry());
    int failures = 2;
    d.decide = [&](const Bio&) { return failures-- > 0 ? Answer::fail : Answer::good; };
    const auto first = send(device, Op::write, 10, 10, 1, 0);  // Has failed twice, waits 20 ms.
    CHECK(first->answers == 0);
    const auto second = send(device, Op::write, 15, 10, 2, 1);
    const auto third = send(device, Op::write, 18, 1, 3, 0);
    const auto zeroes = send(device, Op::write_zeroes, 24, 2, 0, 0);
    const auto trim = send(device, Op::discard, 12, 1, 0, 1);
    CHECK(second->answers + third->answers + zeroes->answers + trim->answers == 0);
    CHECK(world.stats(device).waiting_overlap == 4);
    // What does not overlap, and reads, do not wait.
    CHECK(send(device, Op::write, 20 + 10, 5, 4, 1)->answers == 1);
    CHECK(send(device, Op::read, 10, 10, 0, 1)->answers == 1);
    world.pass(seconds(1));
    CHECK(first->answers == 1);
    CHECK(second->answers == 1);
    CHECK(third->answers == 1);
    CHECK(zeroes->answers == 1);
    CHECK(trim->answers == 1);
    CHECK(at(device, 10) == std::byte{1});
    CHECK(at(device, 12) == std::byte{0});
    CHECK(at(device, 17) == std::byte{2});
    CHECK(at(device, 18) == std::byte{3});
    CHECK(at(device, 23) == std::byte{2});
    CHECK(at(device, 24) == std::byte{0});
    CHECK(world.idle());
}

TEST_CASE_FIXTURE(TwoLanes,
                  "writes that a closed gate held up keep their order over resume ([O-1])") {
    MappedDevice& device = world.device("m", "0 100 linear d 0");
    world.suspend(device);
    std::vector<std::unique_ptr<Request>> all;
    for (std::uint8_t i = 0; i < 20; ++i) all.push_back(send(device, Op::write, i, 20, i, i % 2));
    world.resume(device);
    for (const auto& each : all) CHECK(each->answers == 1);
    for (std::uint8_t i = 0; i < 20; ++i) CHECK(at(device, i) == std::byte{i});
    CHECK(at(device, 38) == std::byte{19});
    CHECK(world.idle());
}

TEST_CASE_FIXTURE(TwoLanes,
                  "a requeued write goes before what arrived while it was below ([O-1], 3.5)") {
    for (const unsigned shard : {0U, 1U}) {
        MappedDevice& device = world.device("m" + std::to_string(shard), "0 100 linear d 0");
        d.decide = [](const Bio&) { return Answer::keep; };
        const auto first = send(device, Op::write, 0, 10, 1, 0);
        world.suspend(device);
        const auto second =
            send(device, Op::write, 0, 10, 2, shard);  // Holds before the first does.
        d.kept.front()->fail({.status = Status::requeue}, 0);
        d.kept.clear();
        world.run();
        d.decide = nullptr;
        world.resume(device);
        CHECK(first->answers + second->answers == 2);
        CHECK(at(device, 5) == std::byte{2});
    }
}

TEST_CASE_FIXTURE(TwoLanes, "parts that a new table cuts release their hold together ([O-1])") {
    MappedDevice& device = world.device("m", "0 96 linear d 0");
    world.suspend(device);
    const auto first = send(device, Op::write, 0, 96, 1, 0);
    const auto second = send(device, Op::write, 90, 2, 2, 1);
    d.decide = [](const Bio&) { return Answer::keep; };
    world.resume(device, "0 96 striped 1 16 d 0");
    CHECK(d.seen.size() == 6);
    for (int i = 0; i < 5; ++i) {
        d.finish(*d.kept[static_cast<std::size_t>(i)]);
        world.run();
        CHECK(d.seen.size() == 6);
    }
    d.finish(*d.kept[5]);
    d.kept.clear();
    world.run();
    CHECK(d.seen.size() == 7);
    d.finish_kept();
    world.run();
    CHECK(second->answers == 1);
    d.decide = nullptr;
    CHECK(at(device, 91) == std::byte{2});
    CHECK(at(device, 92) == std::byte{1});
}

TEST_CASE_FIXTURE(TwoLanes,
                  "what a store still has of a dead connection holds its range ([O-1], [O-2])") {
    MappedDevice& device = world.device("m", "0 100 linear d 0");
    d.decide = [](const Bio&) { return Answer::keep; };
    const auto old = send(device, Op::write, 0, 8, 1, 0);
    world.abandon(*old);
    Hold* hold = device.lane(0).hold(0, 8);
    d.decide = nullptr;
    const auto again = send(device, Op::write, 4, 8, 2, 1);
    CHECK(again->answers == 0);
    d.finish_kept();
    world.run();
    device.lane(0).release(*hold, 8);
    world.run();
    CHECK(again->answers == 1);
    CHECK(at(device, 4) == std::byte{2});
}

TEST_CASE_FIXTURE(TwoLanes, "crossing holds of several lanes never lock up ([O-1])") {
    MappedDevice& device = world.device("m", "0 100 striped 2 5 d 0 d 100", with_retry());
    Random random(5);
    d.decide = [&](const Bio&) { return random.below(3) == 0 ? Answer::fail : Answer::good; };
    std::vector<std::unique_ptr<Request>> all;
    for (int i = 0; i < 3000; ++i) {
        const std::uint64_t sector = random.below(90);
        const Op op = random.below(4) == 0 ? Op::discard : Op::write;
        all.push_back(world.make(op, sector, 1 + random.below(10)));
        world.submit(device, *all.back(), static_cast<unsigned>(random.below(2)));
        if (i % 10 == 0) world.run();
        if (i % 50 == 0) world.pass(std::chrono::milliseconds(20));
        if (i % 300 == 0) world.suspend(device, i % 600 == 0);
        if (i % 300 == 100) world.resume(device);
    }
    world.pass(seconds(60));
    for (const auto& each : all) REQUIRE(each->answers == 1);
    CHECK(world.idle());
}

TEST_CASE("nothing of a dead connection is issued, at any level and from any queue ([O-2])") {
    World world;
    Probe& d = world.probe("d", 10000);
    Probe& e = world.probe("e", 10000);
    DeviceOptions plain;
    plain.retry = no_retry();
    MappedDevice& low = world.device("low", "0 6000 striped 2 1 d 0 e 0", with_retry());
    MappedDevice& top = world.device("top", "0 6000 linear low 0", plain);
    std::vector<std::unique_ptr<Request>> requests;
    const auto submit = [&](MappedDevice& on, Op op, std::uint64_t sector, std::uint64_t sectors) {
        requests.push_back(world.make(op, sector, sectors, 1));
        world.submit(on, *requests.back());
        world.run();
    };
    Hold* hold = nullptr;
    bool all_parked = true;  // Of the last request: no store has anything of it.
    SUBCASE("deferred on top") {
        world.suspend(top);
        submit(top, Op::write, 0, 8);
    }
    SUBCASE("deferred below") {
        world.suspend(low);
        submit(top, Op::write, 0, 8);
    }
    SUBCASE("waiting for a retry below") {
        d.decide = [](const Bio&) { return Answer::fail; };
        submit(top, Op::write, 0, 8);
    }
    SUBCASE("behind a hold below") {
        hold = low.lane(0).hold(0, 100);
        submit(top, Op::write, 0, 8);
    }
    SUBCASE("waiting for a DmIo below") {
        d.decide = e.decide = [](const Bio&) { return Answer::keep; };
        submit(top, Op::read, 0, 6000);
        submit(top, Op::write, 0, 1);
    }
    SUBCASE("on the requeue list") {
        d.decide = [](const Bio&) { return Answer::keep; };
        submit(low, Op::write, 0, 3);
        low.lane(0).close_gate(true, nullptr);
        d.kept.front()->fail({.status = Status::requeue}, 0);
        d.kept.pop_front();
        all_parked = false;
    }
    const std::size_t before = d.seen.size();
    for (const auto& each : requests) {
        CHECK(each->answers == 0);
        world.abandon(*each);
    }
    world.run();
    CHECK(requests.back()->answers == (all_parked ? 1 : 0));
    d.decide = e.decide = nullptr;
    d.finish_kept();
    e.finish_kept();
    world.run();
    for (const auto& each : requests) CHECK(each->answers == 1);  // Gates or not.
    low.lane(0).open_gate();
    world.resume(low);
    world.resume(top);
    if (hold != nullptr) low.lane(0).release(*hold, 100);
    world.pass(seconds(20));
    for (const auto& each : requests) {
        CHECK(each->answers == 1);
        CHECK(each->status() == Status::shutdown);
    }
    CHECK(d.seen.size() == before);
    CHECK(world.io(top, Op::write, 0, 8)->status() == Status::ok);
    CHECK(world.idle());
}

TEST_CASE("what comes of a dead connection after its death is not issued either ([O-2])") {
    World world;
    Probe& d = world.probe("d", 100);
    MappedDevice& device = world.device("m", "0 100 linear d 0");
    auto late = world.make(Op::write, 0, 8);
    late->origin.dead = true;
    world.submit(device, *late);
    world.run();
    CHECK(late->status() == Status::shutdown);
    CHECK(d.seen.empty());
}

TEST_CASE("the rest of a fan-out that waits for clones is not issued after death ([O-2], [O-12])") {
    World world;
    Probe& d = world.probe("d", 10000);
    std::string words;
    for (int i = 0; i < 5000; ++i) words += " d " + std::to_string(i);
    MappedDevice& device = world.device("m", "0 5000 striped 5000 1" + words);
    d.decide = [](const Bio&) { return Answer::keep; };
    const auto discard = world.io(device, Op::discard, 0, 5000);
    const std::size_t issued = d.seen.size();
    CHECK(issued == 1 + limits::extra_clones_per_lane);
    world.abandon(*discard);
    d.finish_kept();
    world.run();
    CHECK(discard->answers == 1);
    CHECK(discard->status() == Status::shutdown);
    CHECK(d.seen.size() == issued);
    CHECK(world.idle());
}

TEST_CASE("a flush goes down although there was no write cache below when its table was loaded") {
    // The device below has got one since: its flushes must not be dropped as needless [L-3], [O-4].
    World world;
    Probe& plain = world.probe("plain", 100);
    plain.shape().write_cache = false;
    Probe& cached = world.probe("cached", 100);
    MappedDevice& below = world.device("below", "0 100 linear plain 0");
    MappedDevice& above = world.device("above", "0 100 linear below 0");
    world.io(above, Op::flush, 0, 0);
    CHECK(plain.seen.empty());
    world.resume(below, "0 100 linear cached 0");
    CHECK(world.io(above, Op::write, 0, 8, 1)->status() == Status::ok);
    CHECK(world.io(above, Op::flush, 0, 0)->status() == Status::ok);
    REQUIRE(cached.seen.size() == 2);
    CHECK(cached.seen.back().op == Op::flush);
}

TEST_CASE("a flush reaches a store that left the table, once, from any lane ([O-4])") {
    World world(3);
    Probe& old = world.probe("old", 100);
    Probe& now = world.probe("now", 200);
    MappedDevice& device = world.device("m", "0 100 linear old 0");
    auto write = world.make(Op::write, 0, 8, 1);
    world.submit(device, *write, 2);
    world.run();
    const auto keep = std::make_shared<int>(0);
    const auto swap = [&](const std::string& table, std::shared_ptr<void> kept) {
        TableSet set = world.build("m", table);
        set.keep = std::move(kept);
        device.load(std::move(set));
        device.resume([] {});
        world.run();
    };
    swap("0 100 linear old 0", keep);
    old.seen.clear();
    SUBCASE("the new table has other devices") {
        swap("0 100 linear now 0", nullptr);
    }
    SUBCASE("two tables later") {
        swap("0 100 linear now 0", nullptr);
        swap("0 100 linear now 50\n", nullptr);
    }
    SUBCASE("the new table names it, but sends it no flush") {
        swap("0 50 linear now 0\n50 50 error old 0", nullptr);
    }
    CHECK(keep.use_count() == 4);  // One a lane.
    now.decide = [](const Bio&) { return Answer::fail; };
    CHECK(world.io(device, Op::flush, 0, 0)->status() == Status::io_error);
    now.decide = nullptr;
    CHECK(old.seen.size() == 1);
    CHECK(keep.use_count() == 4);  // That was no good flush.

    // A flush that is still under way elsewhere must not lose its store to another one's end.
    old.decide = [](const Bio&) { return Answer::keep; };
    auto slow = world.make(Op::flush, 0, 0);
    world.submit(device, *slow, 1);
    world.run();
    old.decide = nullptr;
    auto quick = world.make(Op::flush, 0, 0);
    world.submit(device, *quick, 2);
    world.run();
    CHECK(quick->status() == Status::ok);
    CHECK(keep.use_count() == 2);
    old.finish_kept();
    world.run();
    CHECK(slow->status() == Status::ok);
    CHECK(keep.use_count() == 1);
    const std::size_t before = old.seen.size();
    for (unsigned shard = 0; shard < 3; ++shard) {
        auto flush = world.make(Op::flush, 0, 0);
        world.submit(device, *flush, shard);
        world.run();
        CHECK(flush->status() == Status::ok);
    }
    CHECK(old.seen.size() == before);
}

TEST_CASE("more parts than DmIos: a split waits for one, and all go in the end ([O-12])") {
    World world;
    Probe& d = world.probe("d", 40000);
    world.device("low", "0 20000 striped 1 1 d 0");
    MappedDevice& top = world.device("top", "0 19998 striped 1 3 low 0");
    d.decide = [](const Bio&) { return Answer::keep; };
    std::vector<std::unique_ptr<Request>> all;
    for (std::uint8_t i = 0; i < 3; ++i) {
        all.push_back(world.make(Op::write, 5000U * i, 6000, i));
        world.submit(top, *all.back());
    }
    world.run();
    CHECK(d.seen.size() == limits::dm_ios_per_lane);
    // Other devices over the same store are not held up: reserves are their own.
    MappedDevice& other = world.device("other", "0 20000 linear d 20000");
    const auto aside = world.io(other, Op::read, 0, 1);
    CHECK(d.kept.size() == limits::dm_ios_per_lane + 1);
    std::size_t most = 0;
    while (!d.kept.empty()) {
        most = std::max(most, d.kept.size());
        d.finish(*d.kept.front());
        d.kept.pop_front();
        world.run();
    }
    CHECK(most == limits::dm_ios_per_lane + 1);
    CHECK(aside->answers == 1);
    for (const auto& each : all) CHECK(each->status() == Status::ok);
    d.decide = nullptr;
    CHECK(d.seen.size() == 18000 + 1);
    CHECK(world.io(top, Op::read, 15999, 1)->data[0] == std::byte{2});
    CHECK(world.idle());
}

TEST_CASE("a write that waits for a DmIo holds its range against other lanes ([O-1], [O-12])") {
    World world(2);
    Probe& d = world.probe("d", 20000);
    MappedDevice& device = world.device("m", "0 20000 striped 1 1 d 0");
    d.decide = [](const Bio&) { return Answer::keep; };
    const auto first = world.io(device, Op::write, 0, 6000, 1);
    auto second = world.make(Op::write, 5000, 1, 2);
    world.submit(device, *second, 1);
    world.run();
    CHECK(world.stats(device).waiting_overlap == 1);
    d.decide = nullptr;
    d.finish_kept();
    world.run();
    CHECK(first->answers + second->answers == 2);
    CHECK(world.io(device, Op::read, 5000, 1)->data[0] == std::byte{2});
}

TEST_CASE("a fan-out of more clones than there are, several at once and stacked ([O-12], [L-29])") {
    World world;
    Probe& d = world.probe("d", 20000);
    std::string words, rows;
    for (int i = 0; i < 5000; ++i) {
        words += " d " + std::to_string(2 * i);
        rows += std::to_string(2 * i) + " 2 flakey d " + std::to_string(2 * i) + " 180 0\n";
    }
    world.device("low", "0 10000 striped 5000 2" + words);
    MappedDevice& top = world.device("top", "0 10000 striped 2 5000 low 0 low 5000");
    MappedDevice& flat = world.device("flat", rows);
    world.io(top, Op::write, 0, 10000, 9);
    d.seen.clear();
    std::vector<std::unique_ptr<Request>> all;
    for (int i = 0; i < 3; ++i) {
        all.push_back(world.make(Op::discard, 0, 10000));
        world.submit(top, *all.back());
        all.push_back(world.make(Op::flush, 0, 0));
        world.submit(flat, *all.back());
    }
    world.run();
    for (const auto& each : all) CHECK(each->status() == Status::ok);
    std::size_t flushes = 0;
    for (const auto& each : d.seen) flushes += each.op == Op::flush;
    CHECK(flushes == 3 * 5000);
    CHECK(d.seen.size() == 3 * 10000);  // Half of the discards' clones find nothing on their leg.
    CHECK(world.io(top, Op::read, 0, 10000)->data == std::vector<std::byte>(10000 * 512));
    CHECK(world.idle());
}
