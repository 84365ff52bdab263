#include "server/control/calls.h"

#include <system_error>
#include <thread>
#include <utility>

namespace server::control {

bool CallThreads::start(std::function<void()> call) {
    const std::lock_guard lock(mutex_);
    if (stopped_ || at_work_ >= calls_max_) return false;
    try {
        std::thread([this, call = std::move(call)] { run(call); }).detach();
    } catch (const std::system_error&) {
        return false;
    }
    ++at_work_;
    return true;
}

void CallThreads::run(const std::function<void()>& call) {
    call();
    const std::lock_guard lock(mutex_);  // Held to the last: stop() may destroy us after.
    --at_work_;
    ended_.notify_all();
}

void CallThreads::stop() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    ended_.wait(lock, [this] { return at_work_ == 0; });
}

}  // namespace server::control
