// Why: the bound that `max_connections` sets holds also when clients come at the same moment.
#include <doctest/doctest.h>

#include <thread>

#include "server/exports.h"
#include "unit/stack.h"

TEST_CASE("of many clients that enter at once, as many get in as there is room") {
    stack::World world;
    world.probe("a", 8);
    const dmcore::ShardSeams seams{&world.agenda(), &world.clock};
    const auto device =
        std::make_shared<server::Device>("d", world, std::span(&seams, 1), dmcore::DeviceOptions());
    config::ExportSpec spec;
    spec.max_connections = 5;
    const server::Export one(spec, device);
    std::atomic<int> entered{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back([&] {
            for (int tries = 0; tries < 1000; ++tries) entered += one.enter();
        });
    }
    for (std::thread& client : clients) client.join();
    CHECK(entered == 5);
    CHECK(one.connections() == 5);
    CHECK_FALSE(one.admits({}));
    CHECK(device->clients == 5);
    one.leave();
    CHECK(one.admits({}));
    CHECK(one.enter());
    // After a reload under the same name, those of before still count.
    const server::Export next(spec, device, &one);
    CHECK(next.connections() == 5);
    CHECK_FALSE(next.enter());
    one.leave();
    CHECK(next.enter());
}
