// Several devices change their tables as one ([O-7]), and what becomes of stores that leave [O-4].
#include <doctest/doctest.h>

#include "dmcore/joint_swap.h"
#include "stack.h"

using namespace stack;

namespace {

/// Two stores, a child on the first, a parent on the child; two shards.
struct Pair {
    World world{2};
    Probe& a = world.probe("a", 1000);
    Probe& b = world.probe("b", 1000);
    MappedDevice& child = world.device("child", "0 100 linear a 0");
    MappedDevice& parent = world.device("parent", "0 100 linear child 0");
    std::unique_ptr<JointSwap> joint;
    bool quiet = false;
    bool done = false;

    void prepare(std::map<MappedDevice*, std::string> tables) {
        std::vector<JointSwap::Part> parts;
        for (auto& [device, text] : tables) {
            parts.push_back({device, world.build(device->name(), text), device->options()});
        }
        joint = std::make_unique<JointSwap>(std::move(parts), std::vector{&parent, &child});
        quiet = done = false;
    }
    bool suspend() {
        joint->suspend([this] { quiet = true; });
        world.run();
        return quiet;
    }
    void commit() {
        joint->commit([this] { done = true; });
        world.run();
        REQUIRE(done);
    }
    void undo() {
        joint->undo([this] { done = true; });
        world.run();
        REQUIRE(done);
    }
    void change(std::map<MappedDevice*, std::string> tables) {
        prepare(std::move(tables));
        REQUIRE(suspend());
        commit();
    }
    static void keep(Probe& probe, bool on) {
        probe.decide = on ? std::function([](const Bio&) { return Answer::keep; }) : nullptr;
    }
    static int flushes(const Probe& probe) {
        return static_cast<int>(
            std::ranges::count(probe.seen, Op::flush, [](const auto& seen) { return seen.op; }));
    }
};

}  // namespace

TEST_CASE_FIXTURE(Pair, "a parent and its child change as one, behind what is in flight ([O-7])") {
    keep(a, true);
    const auto flying = world.io(parent, Op::read, 0, 8);
    prepare({{&parent, "0 50 linear child 50"}, {&child, "0 100 linear b 0"}});
    CHECK_FALSE(suspend());
    auto waiting = world.make(Op::read, 8, 8);
    world.submit(parent, *waiting, 1);
    world.run();
    keep(a, false);
    a.finish_kept();
    world.run();
    CHECK(quiet);
    CHECK(flying->answers == 1);
    CHECK(waiting->answers == 0);
    commit();
    CHECK(waiting->status() == Status::ok);
    CHECK(b.ranges() == Ranges{{58, 8}});
    CHECK(child.event_number() == 2);
    CHECK(parent.event_number() == 2);
    CHECK_FALSE(parent.suspended());
    CHECK(world.idle());
}

TEST_CASE_FIXTURE(Pair, "gates that close together don't wait for each other's I/O ([O-7])") {
    // Parts of the parent that meet the closed gate of the child go back to the parent.
    prepare({{&parent, "0 100 linear child 0"}, {&child, "0 100 linear b 0"}});
    auto early = world.make(Op::write, 0, 8);
    world.submit(parent, *early, 0);  // Its end is still on the agenda.
    child.suspend(true, [] {});
    auto late = world.make(Op::write, 8, 8);
    world.run();
    world.submit(parent, *late, 0);  // Waits at the child.
    world.run();
    CHECK(late->answers == 0);
    CHECK(suspend());
    CHECK(world.stats(parent).deferred == 1);
    CHECK(world.stats(child).deferred == 0);
    commit();
    CHECK(late->answers == 0);  // The child was suspended before, so it stays so.
    CHECK(child.suspended());
    world.resume(child);
    CHECK(late->status() == Status::ok);
    CHECK(b.ranges() == Ranges{{8, 8}});
}

TEST_CASE_FIXTURE(Pair, "a suspend that can't finish is taken back whole ([O-7], [R-16])") {
    Probe& c = world.probe("c", 1000);
    MappedDevice& other = world.device("other", "0 100 linear c 0");
    keep(a, true);
    const auto stuck = world.io(parent, Op::write, 0, 8);
    std::vector<JointSwap::Part> parts;
    for (MappedDevice* device : {&parent, &other}) {
        parts.push_back({device, world.build(device->name(), "0 100 linear b 0"), {}});
    }
    joint = std::make_unique<JointSwap>(std::move(parts), std::vector{&parent, &child, &other});
    CHECK_FALSE(suspend());
    const auto waits = world.io(other, Op::read, 0, 8);
    CHECK(waits->answers == 0);
    undo();
    CHECK(waits->answers == 1);
    CHECK(c.ranges() == Ranges{{0, 8}});
    CHECK(world.io(other, Op::read, 8, 8)->answers == 1);
    keep(a, false);
    a.finish_kept();
    world.run();
    CHECK_FALSE(quiet);
    CHECK(stuck->answers == 1);
    CHECK(b.seen.empty());
    CHECK(parent.event_number() == 1);
    CHECK_FALSE(parent.suspended());
}

TEST_CASE_FIXTURE(Pair, "parent and child may change places") {
    change({{&parent, "0 100 linear a 0"}, {&child, "0 100 linear parent 0"}});
    a.seen.clear();
    CHECK(world.io(child, Op::write, 5, 1)->status() == Status::ok);
    CHECK(world.io(child, Op::flush, 0, 0)->status() == Status::ok);
    CHECK(a.ranges() == Ranges{{5, 1}, {0, 0}});
}

TEST_CASE_FIXTURE(Pair, "what stands on a changed device takes up what it can do now ([L-6])") {
    Probe& plain = world.probe("plain", 1000);
    plain.shape().write_cache = false;
    plain.shape().discard = false;
    change({{&child, "0 100 linear plain 0"}});
    CHECK_FALSE(parent.lane(1).limits().discard);
    CHECK(world.io(parent, Op::flush, 0, 0)->status() == Status::ok);
    a.seen.clear();
    world.io(parent, Op::flush, 0, 0);
    CHECK(a.seen.empty());
    change({{&child, "0 100 linear b 0"}});
    CHECK(parent.lane(1).limits().discard);
    world.io(parent, Op::flush, 0, 0);
    CHECK(flushes(b) == 1);
    CHECK(parent.event_number() == 1);
}

TEST_CASE_FIXTURE(Pair, "a flush reaches a store that left two levels below ([O-4])") {
    const auto written = world.io(parent, Op::write, 0, 8);
    Probe& plain = world.probe("plain", 1000);
    plain.shape().write_cache = false;
    change({{&child, "0 100 linear plain 0"}});
    world.io(parent, Op::flush, 0, 0);
    CHECK(flushes(a) == 1);
    world.io(parent, Op::flush, 0, 0);
    CHECK(flushes(a) == 1);
    change({{&parent, "0 100 linear b 0"}});
    world.io(parent, Op::flush, 0, 0);
    CHECK(flushes(a) == 1);  // Nothing was written there since.
    CHECK(flushes(b) == 1);
}

TEST_CASE_FIXTURE(Pair, "settling flushes what has left and lets it go, unseen by statistics") {
    const auto kept_open = std::make_shared<int>(1);
    std::vector<JointSwap::Part> parts;
    parts.push_back({&child, world.build("child", "0 100 linear a 0"), {}});
    parts[0].tables.keep = kept_open;
    joint = std::make_unique<JointSwap>(std::move(parts), std::vector{&parent, &child});
    REQUIRE(suspend());
    commit();
    change({{&child, "0 100 linear b 0"}});
    joint.reset();
    CHECK(kept_open.use_count() == 3);  // Of both lanes.
    keep(a, true);
    child.lane(0).settle();
    world.run();
    REQUIRE(a.kept.size() == 1);
    a.kept.front()->fail({.status = Status::io_error, .sync_lost = true}, 0);
    a.kept.clear();
    world.run();
    CHECK(kept_open.use_count() == 3);  // A client's flush is to hear of it.
    child.lane(0).settle();
    world.run();
    keep(a, false);
    a.finish_kept();
    world.run();
    CHECK(kept_open.use_count() == 1);
    CHECK(flushes(b) == 0);
    CHECK(world.stats(child).ops[static_cast<std::size_t>(Op::flush)].ios == 0);
    child.lane(0).settle();
    world.run();
    CHECK(flushes(a) == 2);
    CHECK(world.idle());
}

TEST_CASE_FIXTURE(Pair, "a table may be built for what the device below is going to be") {
    std::vector<JointSwap::Part> parts;
    parts.push_back({&child, world.build("child", "0 500 linear b 0"), {}});
    TableSet tables = world.build("parent", "0 100 linear child 0");
    tables.shared->rows = rows_of("0 500 linear child 0");
    for (unsigned i = 0; i < 2; ++i) {
        const Limits future = parts[0].tables.lanes[i]->limits();
        tables.lanes[i] = std::make_unique<Table>(
            tables.shared, i, world.agenda(i), world.clock,
            [&](const std::string& name) { return Lower(world.find(name, i), future); });
    }
    parts.push_back({&parent, std::move(tables), {}});
    joint = std::make_unique<JointSwap>(std::move(parts), std::vector{&parent, &child});
    REQUIRE(suspend());
    commit();
    CHECK(world.io(parent, Op::write, 499, 1)->status() == Status::ok);
    CHECK(b.ranges() == Ranges{{499, 1}});
}

TEST_CASE_FIXTURE(Pair, "options change with the table, or alone") {
    std::vector<JointSwap::Part> parts;
    DeviceOptions options;
    options.read_only = true;
    parts.push_back({&child, world.build("child", "0 100 linear b 0"), options});
    joint = std::make_unique<JointSwap>(std::move(parts), std::vector{&parent, &child});
    REQUIRE(suspend());
    commit();
    CHECK(child.lane(1).limits().read_only);
    CHECK(child.options().read_only);
    child.set_options({}, [] {});
    world.run();
    CHECK_FALSE(child.lane(1).limits().read_only);
}

TEST_CASE_FIXTURE(Pair, "a device that nobody uses any more goes, though it still settles") {
    MappedDevice& gone = world.device("gone", "0 100 linear a 0");
    world.io(gone, Op::write, 0, 1);
    world.resume(gone, "0 100 linear b 0");
    keep(a, true);
    gone.lane(0).settle();
    world.run();
    bool retired = false;
    gone.retire([&] { gone.end([&] { retired = true; }); });
    world.run();
    CHECK_FALSE(retired);
    keep(a, false);
    a.finish_kept();
    world.run();
    CHECK(retired);
    world.remove("gone");
}
