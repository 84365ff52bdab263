#include "server/device_steps.h"

#include <algorithm>
#include <utility>

#include "config/diagnostic.h"
#include "server/live.h"

namespace server {
namespace {

std::exception_ptr refused_for_end() {
    return std::make_exception_ptr(
        StepError(StepError::Kind::stopping, "stopping", "the server is stopping"));
}

}  // namespace

void DeviceSteps::suspend(bool noflush, Done done) {
    add({Step::Kind::suspend, noflush, std::move(done)});
}

void DeviceSteps::resume(bool noflush, Done done) {
    if (!ended_ && !device_.has_inactive_table() && only_suspends_wait()) {
        const auto waited = std::exchange(steps_, {});
        add({Step::Kind::resume, noflush, std::move(done)});
        for (const Step& step : waited) {
            step.done(std::make_exception_ptr(StepError(StepError::Kind::wrong_state, "taken-back",
                                                        "a resume took back the suspend of " +
                                                            config::in_quotes(device_.name()) +
                                                            " before its I/O had ended")));
        }
        return;
    }
    add({Step::Kind::resume, noflush, std::move(done)});
}

void DeviceSteps::hold(Done granted) {
    add({Step::Kind::hold, false, std::move(granted)});
}

void DeviceSteps::release() {
    const auto held = std::ranges::find(steps_, Step::Kind::hold, &Step::kind);
    if (held == steps_.end()) return;  // It was refused.
    const bool was_granted = held == steps_.begin();
    steps_.erase(held);
    if (was_granted && !steps_.empty()) begin();
}

void DeviceSteps::end() {
    ended_ = true;
    auto waited = std::exchange(steps_, {});
    if (!waited.empty() && waited.front().kind == Step::Kind::hold) {
        steps_.push_back(std::move(waited.front()));
        waited.pop_front();
    } else if (!waited.empty() && !device_.suspended()) {
        device_.undo_suspend([] {});
    }
    for (const Step& step : waited) step.done(refused_for_end());
}

void DeviceSteps::add(Step step) {
    if (ended_) return step.done(refused_for_end());
    steps_.push_back(std::move(step));
    if (steps_.size() == 1) begin();
}

void DeviceSteps::begin() {
    const Step& step = steps_.front();
    if (step.kind == Step::Kind::hold) return step.done(nullptr);
    if (step.kind == Step::Kind::suspend) {
        device_.suspend(step.noflush, [this] { finish(nullptr); });
        return;
    }
    if (!device_.has_live_table() && !device_.has_inactive_table()) {
        finish(std::make_exception_ptr(StepError(
            StepError::Kind::wrong_state, "no-table",
            config::in_quotes(device_.name()) + " has no table to resume", "load one first")));
        return;
    }
    device_.resume([this] { finish(nullptr); }, step.noflush);
}

void DeviceSteps::finish(std::exception_ptr why) {
    if (steps_.empty()) return;  // end() has told everybody.
    const Step step = std::move(steps_.front());
    steps_.pop_front();
    step.done(std::move(why));
    if (!steps_.empty()) begin();
}

bool DeviceSteps::only_suspends_wait() const {
    return !steps_.empty() && std::all_of(steps_.begin(), steps_.end(), [](const Step& step) {
        return step.kind == Step::Kind::suspend;
    });
}

}  // namespace server
