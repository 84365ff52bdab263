#include <algorithm>
#include <chrono>

#include "config/diagnostic.h"
#include "config/values.h"
#include "server/cli/exit.h"
#include "server/cli/verbs.h"

namespace server::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds question_time{5000};  // So that an answer is never long in coming.

}  // namespace

int wait(const WaitArgs& args, Console& console) {
    Client client(client_address(args.control));
    const std::string path = device_path(args.device);
    const std::uint64_t seen =
        args.event ? *args.event : client.json(path).at("event_number").get<std::uint64_t>();
    const auto until = Clock::now() + args.timeout.value_or(dmcore::Time{});
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
        const milliseconds time =
            args.timeout ? std::clamp(left, milliseconds(0), question_time) : question_time;
        const Json answer = client.json(path + "/wait?event=" + std::to_string(seen) +
                                        "&timeout=" + std::to_string(time.count()) + "ms");
        if (answer.at("event_number").get<std::uint64_t>() != seen) {
            if (args.json) console.out << answer.dump(2) << '\n';
            return exits::done;
        }
        if (args.timeout && left <= time) {
            throw Failure(exits::timed_out, "no new table on " + config::in_quotes(args.device) +
                                                " within " + config::duration_text(*args.timeout));
        }
    }
}

}  // namespace server::cli
