// A noflush suspend takes back what waits further down: architecture section 4, "parked bios never
// delay a suspend".
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;

TEST_CASE("a requeue below is taken back by the device above that suspends, through any depth") {
    World world;
    Probe& d = world.probe("d", 1000);
    world.probe("e", 1000);
    MappedDevice& low = world.device("low", "0 400 striped 2 10 d 0 e 0", with_retry());
    MappedDevice& middle = world.device("middle", "0 100 linear low 0\n100 300 linear low 100");
    MappedDevice& top = world.device("top", "0 400 striped 1 50 middle 0");
    auto write = world.make(Op::write, 0, 200, 0, 1001);
    fill(write->data, 0);
    bool good = false;
    Hold* hold = nullptr;
    const auto failing = [&](const Bio&) { return good ? Answer::good : Answer::fail; };
    SUBCASE("from the retry list") {
        d.decide = failing;
    }
    SUBCASE("from the deferred list") {
        world.suspend(low);
    }
    SUBCASE("from the deferred list in the middle") {
        world.suspend(middle, false);
    }
    SUBCASE("behind a hold") {
        hold = low.lane(0).hold(0, 400);
    }
    std::vector<std::unique_ptr<Request>> crowd;  // Has every DmIo of the lowest.
    SUBCASE("from those that wait for a DmIo") {
        world.probe("e").decide = d.decide = [](const Bio&) { return Answer::keep; };
        for (std::size_t i = 0; i < limits::dm_ios_per_lane; ++i) {
            crowd.push_back(world.io(low, Op::read, 395, 1));
        }
    }
    world.submit(top, *write);
    world.pass(std::chrono::milliseconds(100));
    CHECK(write->answers == 0);
    CHECK(world.suspend(top));
    CHECK(world.stats(low).parked_bytes == 0);
    CHECK(world.stats(middle).parked_bytes == 0);
    good = true;
    for (Probe* probe : {&d, &world.probe("e")}) {
        if (!crowd.empty()) probe->decide = nullptr;
        probe->finish_kept();
    }
    world.run();
    world.resume(low);
    world.resume(middle);
    if (hold != nullptr) low.lane(0).release(*hold, 400);
    CHECK(write->answers == 0);
    world.resume(top);
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::ok);
    const auto read = world.io(top, Op::read, 0, 200);
    CHECK(is_filled(read->data, 0));
    CHECK(world.idle());
}

TEST_CASE("what was taken back is run again even if the suspend is undone in the same turn") {
    World world;
    world.probe("d", 100);
    MappedDevice& low = world.device("low", "0 100 linear d 0");
    MappedDevice& middle = world.device("middle", "0 100 linear low 0");
    MappedDevice& top = world.device("top", "0 100 linear middle 0");
    world.suspend(low);
    const auto write = world.io(top, Op::write, 0, 10, 1);
    top.lane(0).close_gate(true, nullptr);
    top.lane(0).open_gate();
    world.run();
    CHECK(write->answers == 0);
    world.resume(low);
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::ok);
    static_cast<void>(middle);
}
