// Why: every time limit of a client and every time of an I/O is measured by its shard's clock.
#include "server/net/shard.h"

#include <doctest/doctest.h>

#include <future>
#include <thread>

TEST_CASE("shard: what wakes a shard after a long sleep sees the time of waking") {
    // It once saw that of the turn before, and a client that came after 10 s of silence had no time
    // left for its handshake.
    server::Shard shard(0);
    shard.start();
    for (int round = 0; round < 3; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        const dmcore::Time before = server::Shard::clock_time();
        std::promise<dmcore::Time> seen;
        shard.post([&] { seen.set_value(shard.now()); });
        CHECK(seen.get_future().get() >= before);
    }
    shard.stop();
}
