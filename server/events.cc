// What happens on a running server: Running's side of Live.
#include "server/running.h"

namespace server {

std::uint64_t Running::wait_event(const std::string& device, std::uint64_t seen,
                                  std::chrono::steady_clock::time_point until) {
    for (;;) {
        const std::uint64_t heard = events_.rings();
        refuse_if_stopping();
        const auto found = known(device);
        std::uint64_t number = 0;
        run_on_control([&] { number = found->mapped.event_number(); });
        if (number != seen || !events_.wait(heard, until)) return number;
    }
}

void Running::refuse_if_stopping() const {
    if (!events_.ended()) return;
    throw StepError(StepError::Kind::stopping, "stopping", "the server is stopping");
}

}  // namespace server
