// Why: suspend and resume come from people and scripts at any time and in any order, and each must
// end with an answer.
#include "server/device_steps.h"

#include <doctest/doctest.h>

#include "server/live.h"
#include "unit/stack.h"

using namespace stack;

namespace {

struct Steps : World {
    Steps() : d(probe("d", 100)) {}
    /// Every step's answer in the order they came: "ok", or the slug of the refusal.
    server::DeviceSteps::Done note() {
        return [this](const std::exception_ptr& why) {
            if (why == nullptr) {
                answers += "ok ";
                return;
            }
            try {
                std::rethrow_exception(why);
            } catch (const server::StepError& error) {
                answers += error.slug + " ";
            }
        };
    }
    void keep_one(MappedDevice& device) {
        d.decide = [](const Bio&) { return Answer::keep; };
        kept = make(Op::read, 0, 8);
        submit(device, *kept);
        run();
    }
    Probe& d;
    std::unique_ptr<Request> kept;
    std::string answers;
};

}  // namespace

TEST_CASE_FIXTURE(Steps,
                  "steps: a resume without any table is refused, a suspend is not ([S-10])") {
    MappedDevice& empty = device("empty", "");
    server::DeviceSteps steps(empty);
    steps.resume(false, note());
    run();
    CHECK(answers == "no-table ");
    steps.suspend(false, note());  // [S-5]
    run();
    CHECK(empty.suspended());
    steps.resume(false, note());
    run();
    CHECK(answers == "no-table ok no-table ");
    CHECK(empty.suspended());
    empty.load(build("empty", "0 100 linear d 0"));
    steps.resume(false, note());
    run();
    CHECK(answers == "no-table ok no-table ok ");
    CHECK(io(empty, Op::read, 0, 1)->status() == Status::ok);
}

TEST_CASE_FIXTURE(Steps, "steps: one after another, as they came") {
    MappedDevice& m = device("m", "0 100 linear d 0");
    server::DeviceSteps steps(m);
    keep_one(m);
    m.load(build("m", "0 50 linear d 0"));
    steps.suspend(true, note());
    steps.suspend(false, note());  // No more than a wait for the first.
    steps.resume(false, note());   // Has a table to bring in, so it waits.
    run();
    CHECK(answers.empty());
    d.finish_kept();
    run();
    CHECK(answers == "ok ok ok ");
    CHECK_FALSE(m.suspended());
    CHECK(m.lane(0).limits().size_sectors == 50);
}

TEST_CASE_FIXTURE(Steps, "steps: a resume takes back suspends that wait ([R-16])") {
    MappedDevice& m = device("m", "0 100 linear d 0");
    server::DeviceSteps steps(m);
    keep_one(m);
    steps.suspend(true, note());
    steps.suspend(true, note());
    steps.resume(false, note());
    run();
    CHECK(answers == "taken-back taken-back ok ");
    CHECK_FALSE(m.suspended());
    d.decide = nullptr;
    CHECK(io(m, Op::read, 0, 1)->answers == 1);  // The gate is open.
    d.finish_kept();
    run();
}

TEST_CASE_FIXTURE(Steps, "steps: at the end what waits is taken back, and nothing is taken") {
    MappedDevice& m = device("m", "0 100 linear d 0");
    server::DeviceSteps steps(m);
    keep_one(m);
    steps.suspend(true, note());
    run();
    steps.end();
    steps.resume(false, note());
    run();
    CHECK(answers == "stopping stopping ");
    CHECK_FALSE(m.suspended());
    d.finish_kept();
    run();
    CHECK(kept->answers == 1);
}
