// Why: what devices and stores do is found by looking; each change must be told once.
#include <doctest/doctest.h>

#include <mutex>

#include "server/event_watch.h"
#include "unit/control_fake.h"
#include "unit/slow_build.h"

using namespace server;

namespace {

/// A stack that a test changes.
struct Changing : FakeLive {
    std::mutex mutex;
    DeviceInfo device = FakeLive::devices()[1];
    std::uint64_t errors = 0;
    int looks = 0;

    std::vector<DeviceInfo> devices() override {
        const std::lock_guard lock(mutex);
        ++looks;
        return {device};
    }
    std::vector<StoreInfo> stores() override {
        const std::lock_guard lock(mutex);
        return {{"img0", "file", "", 8, errors}};
    }
};

struct Watched {
    Changing live;
    EventWatch watch{live, live.feed()};
    std::shared_ptr<EventReader> reader;

    /// Returns once the stack has been looked at for the first time, then `wanted` times more.
    void await_looks(int wanted) {
        const int before = looks();
        while (looks() < before + wanted) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    int looks() {
        const std::lock_guard lock(live.mutex);
        return live.looks;
    }
    void listen() {
        reader = live.feed().listen();
        await_looks(1);
        heard();
    }
    template <class Change>
    void change(Change what) {
        const std::lock_guard lock(live.mutex);
        what(live);
    }
    /// All so far.
    std::string heard() {
        std::string all;
        char part[4096];
        while (const auto bytes = reader->take(
                   part, [] {}, [] {})) {
            if (*bytes == 0) break;
            all.append(part, *bytes);
        }
        return all;
    }
    /// What comes within some seconds, up to and with `end`.
    std::string hear_until(const std::string& end) {
        std::string all;
        const auto until =
            std::chrono::steady_clock::now() + std::chrono::seconds(5) * slow_build_factor;
        while (all.find(end) == std::string::npos && std::chrono::steady_clock::now() < until) {
            all += heard();
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        return all;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Watched, "event watch: nobody listens, nobody looks") {
    std::this_thread::sleep_for(EventWatch::interval * 2);
    CHECK(looks() == 0);
}

TEST_CASE_FIXTURE(Watched, "event watch: each change of a device or store is told once") {
    listen();
    change([](Changing& to) {
        to.device.suspended = true;
        to.device.flakey_up = false;
        to.errors = 2;
    });
    const std::string told = hear_until("\"errors\":2}\n\n");
    CHECK(told.find("event: device\ndata: {\"device\":\"flaky\",\"suspended\":true,"
                    "\"event_number\":7}\n\n") != std::string::npos);
    CHECK(told.find("event: flakey\ndata: {\"device\":\"flaky\",\"up\":false}\n\n") !=
          std::string::npos);
    CHECK(told.find("event: store\ndata: {\"store\":\"img0\",\"errors\":2}\n\n") !=
          std::string::npos);
    await_looks(2);
    CHECK(heard().empty());
}

TEST_CASE_FIXTURE(Watched, "event watch: requeues are told once a second, however many there are") {
    listen();
    const auto begin = std::chrono::steady_clock::now();
    int told = 0;
    std::string all;
    for (std::uint64_t count = 10; count < 30; ++count) {
        change([&](Changing& to) { to.device.stats.stage_one = count; });
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        all += heard();
    }
    for (std::size_t at = 0; (at = all.find("event: requeue", at)) != std::string::npos; ++at) {
        ++told;
    }
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin);
    CHECK(told >= 1);
    CHECK(told <= seconds.count() + 1);
}

TEST_CASE_FIXTURE(Watched, "event watch: what happened while nobody listened is not told") {
    listen();
    reader.reset();
    std::this_thread::sleep_for(EventWatch::interval * 3);
    change([](Changing& to) { to.device.suspended = true; });
    listen();
    await_looks(2);
    CHECK(heard().empty());
}
