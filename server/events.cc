// What happens on a running server: Running's side of Live.
#include <nlohmann/json.hpp>

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

/// On the client's shard, which is not to wait for those who listen.
void Running::tell_client(const Connection& client, const char* state) {
    if (!feed_.heard()) return;
    const nlohmann::ordered_json data = {{"id", client.id()},
                                         {"peer", client.peer().name},
                                         {"export", client.entered()->spec().name},
                                         {"state", state}};
    using Json = nlohmann::ordered_json;
    shards_.post_control([this, text = data.dump(-1, ' ', false, Json::error_handler_t::replace)] {
        feed_.tell("client", text);
    });
}

void Running::refuse_if_stopping() const {
    if (!events_.ended()) return;
    throw StepError(StepError::Kind::stopping, "stopping", "the server is stopping");
}

}  // namespace server
