// The retry policy: when a failed part is run again, how often, and what the client hears in the
// end.
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Disk {
    World world;
    Probe& d = world.probe("d", 1000);
    std::vector<milliseconds> tries;  // When each I/O reached the disk.
    Time begin = world.clock.now();
    int failures = 1000;  // How many of the next I/Os fail.

    Disk() {
        d.decide = [this](const Bio&) {
            tries.push_back(std::chrono::duration_cast<milliseconds>(world.clock.now() - begin));
            return failures-- > 0 ? Answer::fail : Answer::good;
        };
    }
    MappedDevice& device(const DeviceOptions& options) {
        return world.device("m", "0 100 linear d 0", options);
    }
    std::unique_ptr<Request> start(MappedDevice& on, Op op, bool fua = false) {
        auto request = world.make(op, 0, op == Op::flush ? 0 : 8, 1);
        request->bio.fua = fua;
        world.submit(on, *request);
        world.run();
        return request;
    }
};

using Tries = std::vector<milliseconds>;

}  // namespace

TEST_CASE_FIXTURE(Disk,
                  "first retry at once, then delay, backoff and cap (user-experience 2, `retry`)") {
    MappedDevice& on = device(with_retry());
    failures = 8;
    const auto write = start(on, Op::write);
    world.pass(seconds(3));
    CHECK(tries == Tries{milliseconds(0), milliseconds(0), milliseconds(20), milliseconds(60),
                         milliseconds(140), milliseconds(300), milliseconds(620),
                         milliseconds(1120), milliseconds(1620)});
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::ok);
    const DeviceStats stats = world.stats(on);
    CHECK(stats.retried == 8);
    CHECK(stats.retries_exhausted == 0);
    CHECK(stats.ops[1].ios == 1);  // However often it was tried [D-3].
    REQUIRE(stats.below.size() == 1);
    CHECK(stats.below[0].issued == 9);
    CHECK(stats.below[0].reissued == 8);
}

TEST_CASE_FIXTURE(Disk, "when the attempts are spent the client hears the first error") {
    DeviceOptions options = with_retry();
    options.retry.attempts = 3;
    MappedDevice& on = device(options);
    d.decide = [&](const Bio&) {
        tries.emplace_back();
        d.failure = {.status = tries.size() == 1 ? Status::no_space : Status::io_error,
                     .where = "t"};
        return Answer::fail;
    };
    const auto write = start(on, Op::write);
    world.pass(seconds(30));
    CHECK(tries.size() == 4);
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::no_space);
    CHECK(world.stats(on).retries_exhausted == 1);
    CHECK(world.idle());
}

TEST_CASE_FIXTURE(Disk, "the deadline ends it, with a last attempt right then") {
    DeviceOptions options = with_retry();
    options.retry.deadline = milliseconds(100);
    const auto write = start(device(options), Op::write);
    world.pass(seconds(30));
    CHECK(tries.back() == milliseconds(100));
    CHECK(tries.size() == 5);
    CHECK(write->status() == Status::io_error);
}

TEST_CASE_FIXTURE(Disk,
                  "time behind a closed gate does not count, and nothing is tried in it ([R-14])") {
    DeviceOptions options = with_retry();
    options.retry.deadline = milliseconds(100);
    MappedDevice& on = device(options);
    const auto write = start(on, Op::write);
    world.pass(milliseconds(30));
    CHECK(world.suspend(on, false));  // What waits never delays a suspend.
    const std::size_t before = tries.size();
    world.pass(seconds(3600));
    CHECK(tries.size() == before);
    CHECK(write->answers == 0);
    failures = 1;
    world.resume(on);
    CHECK(write->answers == 0);    // There is time left for another attempt.
    world.pass(milliseconds(70));  // 30 of 100 ms were used before.
    CHECK(write->answers == 1);
    CHECK(write->status() == Status::ok);
}

TEST_CASE_FIXTURE(Disk, "a part that fails while a suspend waits is parked, not answered") {
    MappedDevice& on = device(with_retry());
    d.decide = [](const Bio&) { return Answer::keep; };
    const auto write = start(on, Op::write);
    CHECK_FALSE(world.suspend(on, false));
    d.kept.front()->fail(d.failure, 0);
    d.kept.clear();
    world.run();
    CHECK(on.suspended());
    CHECK(write->answers == 0);
    d.decide = nullptr;
    world.resume(on);
    CHECK(write->status() == Status::ok);
}

TEST_CASE_FIXTURE(Disk, "only the listed errors are retried; requests past the end never") {
    DeviceOptions options;
    options.retry.errors = {};
    options.retry.errors.add(Status::timed_out);
    MappedDevice& on = device(options);
    failures = 1;
    CHECK(start(on, Op::read)->status() == Status::io_error);
    d.failure.status = Status::timed_out;
    failures = 1;
    CHECK(start(on, Op::read)->status() == Status::ok);
    MappedDevice& all = world.device("n", "0 100 linear d 0", with_retry());
    tries.clear();
    CHECK(world.io(all, Op::read, 99, 2)->status() == Status::io_error);
    CHECK(tries.empty());
    for (const Status status : {Status::invalid, Status::not_supported, Status::not_permitted,
                                Status::read_only, Status::shutdown}) {
        d.failure.status = status;
        failures = 1;
        CHECK(start(all, Op::read)->status() == status);
    }
}

TEST_CASE_FIXTURE(
    Disk, "without a policy only transient conditions are retried, with `none` nothing is") {
    MappedDevice& plain = device({});
    for (const Status status : {Status::again, Status::interrupted, Status::no_memory}) {
        CAPTURE(name_of(status));
        d.failure.status = status;
        failures = 3;
        const auto read = start(plain, Op::read);
        CHECK(read->answers == 0);
        world.pass(seconds(1));
        CHECK(read->status() == Status::ok);
        failures = 1000;
        const auto hopeless = start(plain, Op::read);
        world.pass(seconds(11));
        CHECK(hopeless->answers == 1);
        CHECK(hopeless->status() == status);
    }
    DeviceOptions none;
    none.retry = no_retry();
    MappedDevice& strict = world.device("n", "0 100 linear d 0", none);
    CHECK(start(strict, Op::read)->status() == Status::no_memory);
    for (const Status status : {Status::io_error, Status::no_data, Status::bad_checksum}) {
        d.failure.status = status;
        failures = 1;
        CHECK(start(plain, Op::read)->status() == status);
    }
    failures = 0;
}

TEST_CASE_FIXTURE(Disk,
                  "a store bounds the wait for its remote; the deadline runs from its return") {
    MappedDevice& plain = device({});
    MappedDevice& strict = world.device("n", "0 100 linear d 0", {.retry = no_retry()});
    d.failure.status = Status::disconnected;
    failures = 1000;
    const auto patient = start(plain, Op::write);
    CHECK(start(strict, Op::read)->status() == Status::disconnected);
    world.pass(seconds(100));
    CHECK(patient->answers == 0);
    d.failure.status = Status::again;  // It is there, and has troubles of its own.
    world.pass(seconds(9));
    CHECK(patient->answers == 0);
    world.pass(seconds(2));
    CHECK(patient->status() == Status::disconnected);  // The first error.
    d.failure.status = Status::disconnected;
    const auto given_up = start(plain, Op::write);
    world.pass(seconds(20));
    d.failure.status = Status::no_link;  // The store gives up.
    world.pass(seconds(1));
    CHECK(given_up->status() == Status::disconnected);
    failures = 0;
}

TEST_CASE_FIXTURE(Disk, "a flaky device stays flaky until somebody asks for retries") {
    world.device("flaky", "0 100 flakey d 0 0 180");
    MappedDevice& on = world.device("n", "0 100 linear flaky 0");
    const auto read = start(on, Op::read);
    CHECK(read->status() == Status::io_error);
    CHECK(read->bio.failure.injected);
}

TEST_CASE_FIXTURE(Disk, "a flush or FUA write that a store failed is never retried ([O-3])") {
    MappedDevice& on = device(with_retry());
    d.failure.sync_lost = true;
    for (const bool flush : {true, false}) {
        tries.clear();
        const auto request = start(on, flush ? Op::flush : Op::write, !flush);
        world.pass(seconds(20));
        CHECK(tries.size() == 1);
        CHECK(request->answers == 1);
        CHECK(request->status() == Status::io_error);
        CHECK(request->bio.failure.sync_lost);
    }
}

TEST_CASE_FIXTURE(Disk, "a retry that loses a flush stops there, and the loss is told ([O-3])") {
    MappedDevice& on = device(with_retry());
    d.decide = [&](const Bio&) {
        tries.emplace_back();
        d.failure.sync_lost = tries.size() == 2;
        return Answer::fail;
    };
    const auto write = start(on, Op::write, true);
    world.pass(seconds(20));
    CHECK(tries.size() == 2);
    CHECK(write->bio.failure.sync_lost);
}

TEST_CASE_FIXTURE(Disk, "a flush or FUA write that only a target failed is retried ([O-3])") {
    failures = 0;
    DeviceOptions options = with_retry();
    MappedDevice& on = world.device("n", "0 100 flakey d 0 1 2 1 error_writes", options);
    world.pass(milliseconds(1500));  // Down from 1 s to 3 s after the load.
    for (const bool flush : {true, false}) {
        const auto request = start(on, flush ? Op::flush : Op::write, !flush);
        CHECK(request->answers == 0);
        world.pass(seconds(2));
        CHECK(request->answers == 1);
        CHECK(request->status() == Status::ok);
        world.pass(milliseconds(1000));
    }
}

TEST_CASE("attempts belong to a part: siblings that were split off count on their own") {
    World world;
    Probe& d = world.probe("d", 1000);
    DeviceOptions options = with_retry();
    options.retry.attempts = 2;
    MappedDevice& device = world.device("m", "0 100 striped 1 10 d 0", options);
    std::map<std::uint64_t, int> tried;
    d.decide = [&](const Bio& bio) {
        const int count = ++tried[bio.iter.sector];
        if (bio.iter.sector == 30) return Answer::fail;
        return bio.iter.sector % 20 == 0 && count <= 2 ? Answer::fail : Answer::good;
    };
    const auto read = world.make(Op::read, 0, 100);
    world.submit(device, *read);
    world.pass(seconds(5));
    CHECK(read->answers == 1);
    CHECK(read->status() == Status::io_error);
    CHECK(read->bio.failed_at == 30);
    for (std::uint64_t at = 0; at < 100; at += 10)
        CHECK(tried[at] == (at % 20 == 0 || at == 30 ? 3 : 1));
    CHECK(world.idle());
}

TEST_CASE("a part that a new table cuts hands its count of attempts on to the pieces ([R-9])") {
    World world;
    Probe& d = world.probe("d", 1000);
    DeviceOptions options = with_retry();
    options.retry.attempts = 4;
    MappedDevice& device = world.device("m", "0 96 striped 1 48 d 0", options);
    d.decide = [](const Bio&) { return Answer::fail; };
    const auto read = world.make(Op::read, 0, 48 + 16);
    world.submit(device, *read);
    world.run();  // Each of the two parts has failed twice: one retry is used.
    CHECK(d.seen.size() == 4);
    world.suspend(device);
    world.resume(device, "0 96 striped 1 16 d 0");
    world.pass(seconds(20));
    CHECK(d.seen.size() == 4 + 4 * 3);  // Four pieces with three attempts left each.
    CHECK(read->answers == 1);
    CHECK(read->status() == Status::io_error);
    CHECK(world.idle());
}

TEST_CASE("nothing but memory limits parked bytes, congestion tells to read no more ([D-12])") {
    World world;
    Probe& d = world.probe("d", 10000);
    DeviceOptions options = with_retry();
    options.retry.queue_bytes = 100 * 512;
    MappedDevice& low = world.device("low", "0 10000 linear d 0", options);
    MappedDevice& top = world.device("top", "0 10000 linear low 0");
    world.suspend(low);
    std::vector<std::unique_ptr<Request>> all;
    all.push_back(world.io(top, Op::discard, 9000, 1000));  // Carries no bytes.
    all.push_back(world.io(top, Op::read, 0, 100));
    CHECK_FALSE(top.lane(0).congested());
    all.push_back(world.io(top, Op::write, 0, 1));
    CHECK(low.lane(0).congested());
    CHECK(top.lane(0).congested());
    CHECK(world.stats(low).parked_bytes == 101 * 512);
    world.resume(low);
    CHECK_FALSE(top.lane(0).congested());
    for (const auto& each : all) CHECK(each->status() == Status::ok);
    CHECK(d.seen.size() == 3);
}

TEST_CASE("a delay of 0 with any backoff stays 0") {
    World world;
    Probe& d = world.probe("d", 100);
    DeviceOptions options = with_retry();
    options.retry.delay = Time{};
    options.retry.attempts = 2000;  // 2^2000 is no number any more.
    d.decide = [](const Bio&) { return Answer::fail; };
    MappedDevice& device = world.device("m", "0 100 linear d 0", options);
    const auto read = world.make(Op::read, 0, 1);
    world.submit(device, *read);
    world.pass(milliseconds(1));
    CHECK(read->answers == 1);
    CHECK(d.seen.size() == 2001);
}
