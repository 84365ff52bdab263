#include <doctest/doctest.h>

#include "dmcore/loan.h"
#include "stack.h"

using namespace stack;
using std::chrono::seconds;

namespace {

struct Disk {
    World world;
    Probe& d = world.probe("d", 1000);
    MappedDevice& flakey(const std::string& args) {
        return world.device("m", "0 100 flakey d 0 " + args);
    }
    Status io(MappedDevice& device, Op op) {
        return world.io(device, op, 0, op == Op::flush ? 0 : 1)->status();
    }
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "up 5 down 3 by the clock from load on ([F-9], [F-10], V64)") {
    MappedDevice& device = flakey("5 3");
    const Time start = world.clock.now();
    const std::pair<int, Status> at[] = {
        {0, Status::ok},        {4, Status::ok},        {5, Status::io_error},
        {7, Status::io_error},  {8, Status::ok},        {12, Status::ok},
        {13, Status::io_error}, {15, Status::io_error}, {16, Status::ok}};
    for (const auto& [second, status] : at) {
        CAPTURE(second);
        world.clock.set(start + seconds(second));
        CHECK(io(device, Op::read) == status);
        CHECK(io(device, Op::write) == status);
    }
}

TEST_CASE_FIXTURE(Disk, "the clock starts when a table is loaded, not when it goes live ([D-15])") {
    MappedDevice& device = flakey("180 0");
    device.load(world.build("m", "0 100 flakey d 0 5 3"));
    world.pass(seconds(6));
    device.resume([] {});
    world.run();
    CHECK(io(device, Op::read) == Status::io_error);
    world.pass(seconds(2));
    CHECK(io(device, Op::read) == Status::ok);
    world.suspend(device);  // It goes on while suspended [S-16].
    world.pass(seconds(5));
    world.resume(device);
    CHECK(io(device, Op::read) == Status::io_error);
}

TEST_CASE_FIXTURE(Disk, "it says in words whether it is up, and for how long still") {
    const auto state = [](MappedDevice& device) {
        return device.lane(0).table()->rows()[0].target->state_text();
    };
    MappedDevice& device = flakey("8 2");
    CHECK(state(device) == "up, 8.0s left");
    world.pass(std::chrono::milliseconds(1600));
    CHECK(state(device) == "up, 6.4s left");
    world.pass(std::chrono::milliseconds(6500));
    CHECK(state(device) == "down, 1.9s left");
    CHECK(state(world.device("n", "0 100 flakey d 0 180 0")) == "always up");
    CHECK(state(world.device("o", "0 100 flakey d 0 0 180")) == "always down");
}

TEST_CASE_FIXTURE(Disk, "times under a second work and show in the full text only") {
    MappedDevice& device = flakey("250ms 1500ms 1 error_reads");
    const Time start = world.clock.now();
    CHECK(io(device, Op::read) == Status::ok);
    world.clock.set(start + std::chrono::milliseconds(250));
    CHECK(io(device, Op::read) == Status::io_error);
    world.clock.set(start + std::chrono::milliseconds(1750));
    CHECK(io(device, Op::read) == Status::ok);
    const Table& table = *device.lane(0).table();
    CHECK(table.table_text() == "0 100 flakey d 0 1 2 1 error_reads\n");
    CHECK(table.table_text(TextForm::full) == "0 100 flakey d 0 250ms 1500ms 1 error_reads\n");
}

TEST_CASE_FIXTURE(Disk, "always up and always down (V65)") {
    CHECK(io(flakey("180 0"), Op::write) == Status::ok);
    CHECK(io(world.device("n", "0 100 flakey d 0 0 180"), Op::write) == Status::io_error);
}

TEST_CASE_FIXTURE(Disk,
                  "drop_writes loses writes, flushes and discards, keeps reads (V67, [F-11])") {
    world.io(flakey("180 0"), Op::write, 8, 8, 0x11);
    MappedDevice& device = world.device("n", "0 100 flakey d 0 0 180 1 drop_writes");
    d.seen.clear();
    CHECK(world.io(device, Op::write, 8, 8, 0x22)->status() == Status::ok);
    CHECK(io(device, Op::flush) == Status::ok);
    CHECK(io(device, Op::discard) == Status::ok);
    const auto read = world.io(device, Op::read, 8, 8);
    CHECK(read->data[0] == std::byte{0x11});
    CHECK(d.seen.size() == 1);
    CHECK(world.stats(device).ops[1].ios == 1);  // Counted (4.3).
}

TEST_CASE_FIXTURE(Disk, "error_writes fails writes, flushes and discards, and counts them (V68)") {
    MappedDevice& device = flakey("0 180 1 error_writes");
    CHECK(io(device, Op::write) == Status::io_error);
    CHECK(io(device, Op::flush) == Status::io_error);
    CHECK(io(device, Op::discard) == Status::io_error);
    CHECK(io(device, Op::read) == Status::ok);
    CHECK(world.stats(device).ops[1].ios == 1);
    CHECK(world.stats(device).ops[1].sectors == 1);
}

TEST_CASE_FIXTURE(Disk, "error_reads fails only reads, which are not counted (4.3)") {
    MappedDevice& device = flakey("0 180 1 error_reads");
    CHECK(io(device, Op::read) == Status::io_error);
    CHECK(io(device, Op::write) == Status::ok);
    CHECK(io(device, Op::flush) == Status::ok);
    CHECK(world.stats(device).ops[0].ios == 0);
}

TEST_CASE_FIXTURE(Disk,
                  "corrupt_bio_byte changes byte N of each clone read ([F-15], [F-17], V72..V74)") {
    MappedDevice& device = flakey("0 180 5 corrupt_bio_byte 32 r 1 0");
    auto read = world.io(device, Op::read, 0, 1);
    CHECK(read->data[31] == std::byte{1});
    read->data[31] = std::byte{0};
    CHECK(read->data == std::vector<std::byte>(512));

    MappedDevice& far = world.device("n", "0 100 flakey d 0 0 180 5 corrupt_bio_byte 513 r 1 0");
    CHECK(world.io(far, Op::read, 0, 1)->data == std::vector<std::byte>(512));
    CHECK(world.io(far, Op::read, 0, 2)->data[512] == std::byte{1});

    MappedDevice& two = world.device("o",
                                     "0 4 flakey d 0 0 180 5 corrupt_bio_byte 1 r 9 0\n"
                                     "4 4 flakey d 4 0 180 5 corrupt_bio_byte 1 r 9 0");
    read = world.io(two, Op::read, 2, 4);
    CHECK(read->data[0] == std::byte{9});
    CHECK(read->data[1024] == std::byte{9});
}

TEST_CASE_FIXTURE(Disk, "of what a store would lend, a corrupted read has a copy") {
    MappedDevice& device = flakey("0 180 5 corrupt_bio_byte 32 r 1 0");
    world.io(world.device("n", "0 100 linear d 0"), Op::write, 0, 8, 0x10);
    Pool<Loan> pool(8);
    Loans loans;
    loans.set_pool(pool);
    for (int i = 0; i < 2; ++i) {
        auto read = world.make(Op::read, 0, 8);
        read->bio.loans = &loans;
        world.submit(device, *read);
        world.run();
        CHECK(pool.in_use() == 0);
        CHECK(read->data[30] == std::byte{0x10});
        CHECK(read->data[31] == std::byte{1});
    }
}

TEST_CASE_FIXTURE(Disk,
                  "a corrupted read is right although the device below split and consumed it") {
    world.probe("e", 1000);
    world.device("low", "0 64 striped 2 8 d 0 e 0");
    MappedDevice& device =
        world.device("n", "0 64 flakey low 0 0 180 5 corrupt_bio_byte 9000 r 7 0");
    const auto read = world.io(device, Op::read, 3, 40);
    CHECK(read->data[8999] == std::byte{7});
}

TEST_CASE_FIXTURE(Disk,
                  "a corrupted write spoils a copy, never the submitter's data ([F-16], [F-18])") {
    MappedDevice& device = flakey("0 180 5 corrupt_bio_byte 3 w 255 0");
    const auto write = world.io(device, Op::write, 4, 2, 0x10);
    CHECK(write->data == std::vector<std::byte>(1024, std::byte{0x10}));
    const auto read = world.io(device, Op::read, 4, 2);
    CHECK(read->data[2] == std::byte{0xff});
    CHECK(read->data[3] == std::byte{0x10});

    MappedDevice& fua_only =
        world.device("n", "0 100 flakey d 0 0 180 5 corrupt_bio_byte 1 w 255 131072");
    world.io(fua_only, Op::write, 50, 1, 0x10);
    CHECK(world.io(fua_only, Op::read, 50, 1)->data[0] == std::byte{0x10});
    auto fua = world.make(Op::write, 50, 1, 0x10);
    fua->bio.fua = true;
    world.submit(fua_only, *fua);
    world.run();
    CHECK(world.io(fua_only, Op::read, 50, 1)->data[0] == std::byte{0xff});
}

TEST_CASE("a corrupted write above 4 MiB goes in pieces, each with its own byte N ([L-17])") {
    World world;
    Probe& d = world.probe("d", 20000);
    MappedDevice& device =
        world.device("m", "0 20000 flakey d 0 0 180 5 corrupt_bio_byte 1 w 255 0");
    world.io(device, Op::write, 0, 10000, 0x10);
    CHECK(d.seen.size() == 2);
    const auto read = world.io(device, Op::read, 0, 10000);
    CHECK(read->data[0] == std::byte{0xff});
    CHECK(read->data[4 << 20] == std::byte{0xff});
    CHECK(read->data[1] == std::byte{0x10});
}

TEST_CASE_FIXTURE(Disk,
                  "random corruption at rate 1 touches every read, and a seed repeats it (V77)") {
    const auto run = [](World& on) {
        MappedDevice& device =
            on.device("m", "0 100 flakey d 0 0 180 2 random_read_corrupt 1000000000");
        std::vector<std::byte> all;
        for (int i = 0; i < 20; ++i) {
            const auto read = on.io(device, Op::read, 0, 4);
            all.insert(all.end(), read->data.begin(), read->data.end());
        }
        return all;
    };
    World again;
    again.probe("d", 1000);
    const auto first = run(world);
    CHECK(first == run(again));
    CHECK(first != std::vector<std::byte>(first.size()));
}

TEST_CASE_FIXTURE(Disk, "its text comes back in dm's order, whatever came in (6.5)") {
    const auto text = [&](const std::string& args) {
        MappedDevice& device = world.device("x" + args, "0 100 flakey d 0 0 180 " + args);
        return device.lane(0).table()->table_text();
    };
    CHECK(text("4 random_write_corrupt 5 random_read_corrupt 7") ==
          "0 100 flakey d 0 0 180 4 random_read_corrupt 7 random_write_corrupt 5\n");
    CHECK(text("6 corrupt_bio_byte 3 W 7 131072 error_reads") ==
          "0 100 flakey d 0 0 180 6 error_reads corrupt_bio_byte 3 w 7 131072\n");
}
