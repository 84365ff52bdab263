// Why: an injected fault must never be mistaken for a real one, so each is counted.
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;
using dmcore::Fault;
using dmcore::FaultCounts;

namespace {

struct Disk {
    World world;
    Probe& d = world.probe("d", 1000);
    MappedDevice& device(const std::string& row) { return world.device("m", row); }
    void io(MappedDevice& device, Op op, std::uint64_t sector = 0) {
        world.io(device, op, sector, op == Op::flush ? 0 : 1);
    }
    FaultCounts faults(MappedDevice& device) { return world.stats(device).faults; }
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "faults: flakey counts what it fails and drops, and not what it passes") {
    MappedDevice& both = device("0 100 flakey d 0 0 1");
    io(both, Op::read);
    io(both, Op::write);
    io(both, Op::flush);
    CHECK(faults(both)[Fault::error_reads] == 1);
    CHECK(faults(both)[Fault::error_writes] == 2);
    CHECK(faults(both)[Fault::drop_writes] == 0);
}

TEST_CASE_FIXTURE(Disk, "faults: a flakey that is up does nothing wrong") {
    MappedDevice& up = device("0 100 flakey d 0 1 0 1 drop_writes");
    io(up, Op::write);
    CHECK(faults(up).counts == FaultCounts{}.counts);
}

TEST_CASE_FIXTURE(Disk, "faults: dropped writes and spoiled reads have kinds of their own") {
    MappedDevice& down = device("0 100 flakey d 0 0 1 6 drop_writes corrupt_bio_byte 1 r 7 0");
    io(down, Op::write);
    io(down, Op::read);
    io(down, Op::read);
    CHECK(faults(down)[Fault::drop_writes] == 1);
    CHECK(faults(down)[Fault::corrupt] == 2);
    CHECK(faults(down)[Fault::error_reads] == 0);
}

TEST_CASE_FIXTURE(Disk, "faults: bad blocks and error rows count, and the table's end keeps them") {
    // A counter that a reload sets back would hide what happened before it.
    MappedDevice& bad = device("0 100 dust d 0 512 bad_blocks 5 enabled");
    io(bad, Op::read, 4);
    io(bad, Op::read, 5);
    CHECK(faults(bad)[Fault::bad_block] == 1);
    bad.load(world.build("m", "0 100 error"));
    bad.resume([] {});
    world.run();
    io(bad, Op::read);
    CHECK(faults(bad)[Fault::bad_block] == 1);
    CHECK(faults(bad)[Fault::error] == 1);
}
