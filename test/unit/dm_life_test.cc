// Why: the life of a request, step by step, as dm-semantics 1 and 2 have it.
#include <doctest/doctest.h>

#include "unit/stack.h"

using namespace stack;
using namespace std::chrono_literals;

namespace {

constexpr const char* s3x16 = "0 144 striped 3 16 a 0 b 0 c 0\n";

struct Disks : World {
    Disks() : a(probe("a", 1000)), b(probe("b", 1000)), c(probe("c", 1000)) {}
    Probe& a;
    Probe& b;
    Probe& c;
    Bio& take_kept(Probe& from) {
        Bio& bio = *from.kept.front();
        from.kept.pop_front();
        return bio;
    }
};

const DmIo& part_of(const Bio& clone) {
    return *static_cast<const Clone&>(clone).io;
}

Answer keep(const Bio&) {
    return Answer::keep;
}

}  // namespace

TEST_CASE_FIXTURE(Disks, "[L-4] [L-30] a device discards only if all its rows can") {
    MappedDevice& good = device("good", "0 8 linear a 0\n8 8 error\n");
    CHECK(good.lane(0).limits().discard);
    b.shape().discard = false;
    MappedDevice& bad = device("bad", "0 8 linear a 0\n8 8 linear b 0\n");
    CHECK_FALSE(bad.lane(0).limits().discard);
    CHECK(io(bad, Op::discard, 0, 8)->status() == Status::not_supported);
    CHECK(a.seen.empty());
    MappedDevice& member = device("member", "0 16 unstriped 2 8 0 a 0\n");
    CHECK_FALSE(member.lane(0).limits().discard);  // A target without it.
}

TEST_CASE_FIXTURE(Disks, "[L-11] the table that is live when a request comes serves it") {
    MappedDevice& m = device("m", "0 100 linear a 0\n");
    io(m, Op::write, 0, 8);
    m.load(build("m", "0 100 linear b 0\n"));
    io(m, Op::write, 8, 8);  // Loaded is not live.
    resume(m);
    io(m, Op::write, 16, 8);
    CHECK(a.ranges() == Ranges{{0, 8}, {8, 8}});
    CHECK(b.ranges() == Ranges{{16, 8}});
}

TEST_CASE_FIXTURE(Disks,
                  "[L-12] [R-9] a requeued part goes through the new table, its sibling did not") {
    MappedDevice& m = device("m", "0 10 linear a 0\n10 10 linear a 10\n");
    a.decide = keep;
    auto read = make(Op::read, 5, 10);
    submit(m, *read);
    m.suspend(true, [] {});
    run();
    take_kept(a).fail({.status = Status::requeue}, 5);
    a.finish_kept();
    run();
    resume(m, "0 7 linear b 100\n7 93 linear c 200\n");
    CHECK(read->status() == Status::ok);
    CHECK(a.ranges() == Ranges{{5, 5}, {10, 5}});
    CHECK(b.ranges() == Ranges{{105, 2}});
    CHECK(c.ranges() == Ranges{{200, 3}});
}

TEST_CASE_FIXTURE(Disks,
                  "[L-14] chunks count from the row's start, and need not be powers of two") {
    // V20: rows and chunks cut one request.
    MappedDevice& m = device("m", "0 100 linear c 0\n100 144 striped 3 16 a 0 b 0 c 500\n");
    io(m, Op::read, 90, 60);
    CHECK(c.ranges() == Ranges{{90, 10}, {500, 16}});
    CHECK(a.ranges() == Ranges{{0, 16}, {16, 2}});
    CHECK(b.ranges() == Ranges{{0, 16}});
    a.seen.clear();
    MappedDevice& odd = device("odd", "0 5 linear c 0\n5 21 striped 1 7 a 0\n");
    io(odd, Op::write, 6, 20);
    CHECK(a.ranges() == Ranges{{1, 6}, {7, 7}, {14, 7}});
}

TEST_CASE_FIXTURE(Disks,
                  "[L-16] [L-33] a discard is cut at rows only, its clones go in order (V25)") {
    MappedDevice& m = device("m", s3x16);
    std::string order;
    for (Probe* leg : {&a, &b, &c}) {
        leg->decide = [&order, leg](const Bio&) {
            order += leg->name();
            return Answer::good;
        };
    }
    io(m, Op::discard, 0, 144);
    CHECK(order == "abc");
    CHECK(stats(m).ops[3].ios == 1);
    CHECK(a.ranges() == Ranges{{0, 48}});
    MappedDevice& rows = device("rows", "0 144 striped 3 16 a 0 b 0 c 0\n144 10 linear a 500\n");
    order.clear();
    io(rows, Op::discard, 100, 54);
    CHECK(order == "abca");
    CHECK(stats(rows).ops[3].ios == 2);
}

TEST_CASE_FIXTURE(Disks, "a discard over chunks that are no powers of two (V35)") {
    MappedDevice& m = device("m", "0 144 striped 3 24 a 0 b 0 c 0\n");
    io(m, Op::discard, 30, 100);
    CHECK(a.ranges() == Ranges{{24, 24}});
    CHECK(b.ranges() == Ranges{{6, 42}});
    CHECK(c.ranges() == Ranges{{0, 34}});
}

TEST_CASE_FIXTURE(Disks,
                  "[L-20] nothing ends before the pass, even if each target ends it at once") {
    MappedDevice& m = device("m", "0 8 zero\n8 8 zero\n16 8 error\n24 8 zero\n");
    auto write = make(Op::write, 0, 32);
    submit(m, *write);
    CHECK(write->answers == 0);
    run();
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::io_error);
    CHECK(stats(m).ops[1].sectors == 24);  // The rest was done all the same [L-37].
}

TEST_CASE_FIXTURE(Disks, "[W-1] [W-2] a part knows where it lies by its distance to the end") {
    MappedDevice& m = device("m", s3x16);
    for (Probe* leg : {&a, &b, &c}) leg->decide = keep;
    auto read = make(Op::read, 10, 50);
    submit(m, *read);
    CHECK(read->bio.iter.sector == 48);  // Trimmed to the last part by now.
    CHECK(read->bio.iter.sectors() == 12);
    const DmIo& first = part_of(*a.kept[0]);
    CHECK(first.was_split);
    CHECK(first.sector_offset == 50);
    CHECK(first.start_sector() == 10);
    CHECK(first.part_sectors() == 6);
    CHECK(part_of(*b.kept[0]).start_sector() == 16);
    CHECK(part_of(*c.kept[0]).start_sector() == 32);
    const DmIo& last = part_of(*a.kept[1]);
    CHECK_FALSE(last.was_split);
    CHECK(last.start_sector() == 48);
    CHECK(last.part_sectors() == 12);
    for (Probe* leg : {&a, &b, &c}) leg->finish_kept();
    run();
    CHECK(read->answers == 1);
}

TEST_CASE_FIXTURE(Disks, "[W-8] a requeue changes nothing in how many parts are still to answer") {
    MappedDevice& m = device("m", s3x16);
    for (Probe* leg : {&a, &b, &c}) leg->decide = keep;
    auto read = make(Op::read, 10, 50);
    submit(m, *read);
    CHECK(read->bio.remaining == 4);
    m.suspend(true, [] {});
    run();
    take_kept(b).fail({.status = Status::requeue}, 16);
    run();
    CHECK(read->bio.remaining == 4);
    a.finish_kept();
    c.finish_kept();
    run();
    CHECK(read->bio.remaining == 1);
    b.decide = nullptr;
    resume(m);
    CHECK(read->answers == 1);
}

TEST_CASE_FIXTURE(Disks,
                  "[S-9] over a swap the old table lets go before, the new one begins after") {
    MappedDevice& m = device("m", "0 100 delay a 0 50\n");
    auto held = make(Op::write, 0, 8);
    submit(m, *held);
    run();
    CHECK(a.seen.empty());
    m.load(build("m", "0 100 delay b 0 50\n"));
    resume(m);  // No time passes.
    CHECK(held->answers == 1);
    CHECK(a.ranges() == Ranges{{0, 8}});
    auto next = make(Op::write, 0, 8);
    submit(m, *next);
    run();
    CHECK(b.seen.empty());
    pass(50ms);
    CHECK(next->answers == 1);
    CHECK(b.ranges() == Ranges{{0, 8}});
}

TEST_CASE_FIXTURE(Disks, "[S-12] [T-8] a load that fails changes neither table") {
    MappedDevice& m = device("m", "0 100 linear a 0\n");
    m.load(build("m", "0 50 linear b 0\n"));
    CHECK_THROWS_AS(m.load(build("m", "0 8 linear c 0\n8 8 linear nowhere 0\n")), TableError);
    CHECK(m.lane(0).table()->table_text() == "0 100 linear a 0\n");
    resume(m);
    CHECK(m.lane(0).table()->table_text() == "0 50 linear b 0\n");
}

TEST_CASE_FIXTURE(Disks,
                  "[D-9] what was requeued goes before what came while the gate was closed") {
    MappedDevice& m = device("m", "0 100 linear a 0\n");
    a.decide = keep;
    auto first = make(Op::read, 0, 8);
    submit(m, *first);
    m.suspend(true, [] {});
    run();
    auto second = make(Op::read, 8, 8);
    submit(m, *second);
    take_kept(a).fail({.status = Status::requeue}, 0);
    run();
    a.seen.clear();
    a.decide = nullptr;
    resume(m);
    CHECK(a.ranges() == Ranges{{0, 8}, {8, 8}});
}

TEST_CASE_FIXTURE(Disks,
                  "[D-17] the gate is closed before a requeue can be put back: no part spins") {
    MappedDevice& m = device("m", "0 100 linear a 0\n");
    a.decide = keep;
    auto read = make(Op::read, 0, 8);
    submit(m, *read);
    m.suspend(true, [] {});
    run();
    take_kept(a).fail({.status = Status::requeue}, 0);
    a.decide = [](const Bio&) { return Answer::requeue; };
    run();
    CHECK(a.seen.size() == 1);
    CHECK(m.suspended());
    resume(m);  // Asks again, and without a suspend that is an error.
    CHECK(read->status() == Status::io_error);
    CHECK(a.seen.size() == 2);
}

TEST_CASE("[O-4] a flush that another device had under way covers nothing written since") {
    World world;
    Probe& p = world.probe("p", 8);
    world.probe("q", 8);
    MappedDevice& low = world.device("low", "0 8 linear p 0");
    MappedDevice& top = world.device("top", "0 8 linear p 0");
    world.io(low, Op::write, 0, 1);
    REQUIRE(world.suspend(low));
    world.resume(low, "0 8 linear q 0");  // Its next flush goes to p as well, for the last time.
    p.decide = [](const Bio& bio) { return bio.op == Op::flush ? Answer::keep : Answer::good; };
    auto flush = world.make(Op::flush, 0, 0);
    world.submit(low, *flush);
    world.run();
    REQUIRE(p.kept.size() == 1);
    world.io(top, Op::write, 4, 1);
    REQUIRE(world.suspend(top));
    world.resume(top, "0 8 linear low 0");
    p.finish_kept();
    world.run();
    REQUIRE(flush->status() == Status::ok);
    p.decide = nullptr;
    p.seen.clear();
    CHECK(world.io(top, Op::flush, 0, 0)->status() == Status::ok);
    REQUIRE(p.seen.size() == 1);
    CHECK(p.seen[0].op == Op::flush);
}
