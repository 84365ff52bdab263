// No heap allocation per request once warm, and none for a split.
#include <doctest/doctest.h>

#include "stack.h"
#include "unit/allocations.h"

using namespace stack;

namespace {

struct Stack {
    World world;
    Probe& d = world.probe("d", 10000);
    Probe& e = world.probe("e", 10000);
    MappedDevice& low = world.device("low", "0 9000 flakey d 0 180 0\n9000 1000 linear d 9000");
    MappedDevice& top =
        world.device("top", "0 8000 striped 2 8 low 0 e 0\n8000 1000 zero", with_retry());

    Stack() {
        d.seen.reserve(1'000'000);
        e.seen.reserve(1'000'000);
    }
    /// How much is allocated from submitting all `requests` to the last answer.
    std::size_t cost(std::vector<std::unique_ptr<Request>>& requests) {
        for (auto& each : requests) {
            BioIter& iter = each->bio.iter;  // Only the end of it is where it was.
            iter = {iter.end() - each->data.size() / sector_bytes, each->data.size(), 0, 0};
            each->bio.remaining = 1;
            each->bio.failure = {};
            each->answers = 0;
        }
        const std::size_t before = allocation_count();
        for (auto& each : requests) world.submit(top, *each);
        world.run();
        const std::size_t after = allocation_count();
        for (const auto& each : requests) {
            REQUIRE(each->answers == 1);
            REQUIRE(each->status() == Status::ok);
        }
        return after - before;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Stack, "the counter counts") {
    const std::size_t before = allocation_count();
    ::operator delete(::operator new(1));  // A new-expression may be optimized away.
    CHECK(allocation_count() == before + 1);
}

TEST_CASE_FIXTURE(
    Stack, "once warm a request of many parts costs no allocation, nor does waiting for a DmIo") {
    // 7500 parts at once, more than there are DmIos.
    std::vector<std::unique_ptr<Request>> requests;
    for (std::uint64_t i = 0; i < 20; ++i) {
        requests.push_back(
            world.make(i % 2 == 0 ? Op::write : Op::read, 200 * i, 3000 + i, 1, 5000));
        requests.push_back(world.make(Op::flush, 0, 0));
    }
    requests.push_back(world.make(Op::read, 7000, 1500));
    CHECK(cost(requests) > 0);
    for (int round = 0; round < 20; ++round) CHECK(cost(requests) == 0);
    CHECK(world.stats(top).splits > 20 * 20 * 300);
}

TEST_CASE_FIXTURE(Stack, "a range op that fans out costs none either") {
    std::vector<std::unique_ptr<Request>> requests;
    for (const Op op : {Op::discard, Op::write_zeroes}) requests.push_back(world.make(op, 0, 8500));
    for (int round = 0; round < 10; ++round) {
        for (auto& each : requests) {
            each->bio.iter = {0, 8500 * sector_bytes, 0, 0};
            each->bio.remaining = 1;
            each->answers = 0;
        }
        const std::size_t before = allocation_count();
        for (auto& each : requests) world.submit(top, *each);
        world.run();
        if (round > 0) CHECK(allocation_count() == before);
        for (auto& each : requests) CHECK(each->answers == 1);
    }
}

TEST_CASE_FIXTURE(Stack, "a read that is retried at once costs none once warm") {
    int failures = 0;
    e.decide = [&](const Bio&) { return failures-- > 0 ? Answer::fail : Answer::good; };
    std::vector<std::unique_ptr<Request>> requests;
    requests.push_back(world.make(Op::read, 0, 200));
    failures = 5;
    CHECK(cost(requests) > 0);
    for (int round = 0; round < 10; ++round) {
        failures = 5;
        CHECK(cost(requests) == 0);
    }
}

TEST_CASE_FIXTURE(Stack, "requeue after requeue of one I/O does not grow (V44, [R-8], [R-19])") {
    e.decide = [](const Bio&) { return Answer::keep; };
    const auto write = world.io(top, Op::write, 0, 3 * 8);
    Lane& lane = top.lane(0);
    std::size_t warm = 0;
    for (int round = 0; round < 1000; ++round) {
        if (round == 10) warm = allocation_count();
        lane.close_gate(true, nullptr);
        e.kept.front()->fail({.status = Status::requeue}, 0);
        e.kept.pop_front();
        world.run();
        REQUIRE(lane.stats().deferred == 1);
        lane.open_gate();
        world.run();
        REQUIRE(e.kept.size() == 1);
    }
    const std::size_t own = allocation_count() - warm;
    CHECK(own < 990 * 4);  // What stats() and the kept list of the probe take themselves.
    e.finish_kept();
    world.run();
    CHECK(write->status() == Status::ok);
}
