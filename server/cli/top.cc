#include <chrono>
#include <thread>

#include "server/cli/exit.h"
#include "server/cli/rates.h"
#include "server/cli/terminal.h"
#include "server/cli/verbs.h"

namespace server::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view home = "\033[H";
constexpr std::string_view clear_line = "\033[K";
constexpr std::string_view clear_rest = "\033[J";

/// Looks again and again, and knows what was done since the last look.
class Watch {
  public:
    explicit Watch(Client& client) : client_(client) {}

    /// The first time of nothing.
    std::vector<Rates> look() {
        const Json devices = client_.json("/v1/devices").at("devices");
        const auto now = Clock::now();
        std::vector<Rates> all;
        Json seen = Json::object();
        for (const Json& device : devices) {
            const auto name = device.at("name").get<std::string>();
            const auto before = seen_.find(name);
            const bool is_new = before == seen_.end();
            all.push_back(rates_of(is_new ? device : *before, device, now - looked_));
            seen[name] = device;
        }
        seen_ = std::move(seen);
        looked_ = now;
        return all;
    }

  private:
    Client& client_;
    Json seen_ = Json::object();
    Clock::time_point looked_{};
};

void draw(const std::vector<Rates>& all, const Terminal& terminal, Console& console) {
    const auto lines = top_lines(all, terminal.size(), console.colour_out);
    console.out << home;
    for (std::size_t at = 0; at < lines.size(); ++at) {
        console.out << (at == 0 ? "" : "\n") << lines[at] << clear_line;
    }
    console.out << clear_rest << std::flush;
}

void watch_on_terminal(Watch& watch, dmcore::Time interval, Console& console) {
    Terminal terminal;
    std::vector<Rates> all = watch.look();
    auto due = Clock::now() + interval;
    for (;;) {
        draw(all, terminal, console);
        const Terminal::Woken woken = terminal.wait_until(due);
        if (woken == Terminal::Woken::by_end || !console.out) return;
        if (woken == Terminal::Woken::by_size) continue;
        all = watch.look();
        due += interval;
    }
}

}  // namespace

int top(const TopArgs& args, Console& console) {
    Client client(client_address(args.control));
    const dmcore::Time interval = args.interval.value_or(std::chrono::seconds(1));
    Watch watch(client);
    if (!args.once && !args.json && can_draw()) {
        watch_on_terminal(watch, interval, console);
        return exits::done;
    }
    watch.look();
    std::this_thread::sleep_for(interval);
    const std::vector<Rates> all = watch.look();
    if (args.json) {
        Json list = Json::array();
        for (const Rates& each : all) list.push_back(json_of(each));
        console.out << list.dump(2) << '\n';
    } else {
        console.out << rates_text(all, true);
    }
    return exits::done;
}

}  // namespace server::cli
