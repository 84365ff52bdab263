// A load generator for any NBD server: keeps a number of requests in flight on each of a number of
// connections, on one thread, and prints one JSON object of what it measured.
#include <sys/epoll.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/client.h"

namespace {

using bench::Client;
using bench::Nanoseconds;
using bench::now_ns;
using bench::Tally;

struct Options {
    std::string address;
    std::string export_name;
    unsigned connections = 1;
    bench::Workload workload;
    bool sleeps = false;
    double warmup_seconds = 0.3;
    double seconds = 2;
    std::uint64_t requests = UINT64_MAX;
    int server_pid = 0;
    std::uint64_t seed = 1;
};

/// CPU time of all threads of a process that are there now.
Nanoseconds cpu_time_ns(int pid) {
    Nanoseconds sum = 0;
    const std::filesystem::path tasks = "/proc/" + std::to_string(pid) + "/task";
    std::error_code gone;
    for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
        Nanoseconds time = 0;
        std::ifstream(task.path() / "schedstat") >> time;
        sum += time;
    }
    return sum;
}

/// Serves the connections' sockets on one thread.
class Loop {
  public:
    explicit Loop(const Options& options)
        : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wait_ms_(options.sleeps ? 100 : 0) {
        for (unsigned i = 0; i < options.connections; ++i) {
            clients_.emplace_back(options.address, options.export_name, options.workload,
                                  options.seed + i);
            watch(clients_.back(), EPOLL_CTL_ADD);
        }
        for (Client& client : clients_) {
            client.begin();
            watch(client, EPOLL_CTL_MOD);
        }
    }

    /// Until that time, or that many requests have been answered.
    void run(Nanoseconds until, std::uint64_t requests, Tally& tally) {
        std::array<epoll_event, 64> events;
        while (now_ns() < until && tally.requests < requests) {
            const int count =
                ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms_);
            for (int i = 0; i < count; ++i) {
                const epoll_event& event = events[static_cast<std::size_t>(i)];
                auto& client = *static_cast<Client*>(event.data.ptr);
                const bool waited = client.wants_room();
                if ((event.events & EPOLLOUT) != 0) client.on_writable();
                if ((event.events & ~EPOLLOUT) != 0) client.on_readable(tally);
                if (client.wants_room() != waited) watch(client, EPOLL_CTL_MOD);
            }
        }
    }

    /// Ends as a client should: some servers take others ill.
    void leave() {
        for (Client& client : clients_) client.leave();
        Tally ignored;
        while (!std::ranges::all_of(clients_, &Client::done)) {
            run(now_ns() + 1'000'000, UINT64_MAX, ignored);
        }
    }

  private:
    void watch(Client& client, int how) {
        epoll_event event{};
        event.events = client.wants_room() ? EPOLLIN | EPOLLOUT : EPOLLIN;
        event.data.ptr = &client;
        ::epoll_ctl(epoll_, how, client.descriptor(), &event);
    }

    const int epoll_;
    // 0: to be woken costs more than most requests, and would be most of what is measured.
    const int wait_ms_;
    std::deque<Client> clients_;
};

Options read(CLI::App& app, int argc, char** argv) {
    Options options;
    app.add_option("address", options.address, "path of a unix socket, or HOST:PORT")->required();
    app.add_option("--export", options.export_name);
    app.add_option("--connections", options.connections);
    app.add_option("--depth", options.workload.depth, "requests in flight, each connection");
    app.add_option("--bytes", options.workload.request_bytes, "of a request; a multiple of 8");
    app.add_option("--write", options.workload.write_percent, "percent of the requests");
    app.add_flag("--trim", options.workload.trim, "trims instead of reads and writes");
    app.add_flag("--sequential", options.workload.sequential);
    app.add_flag("--verify", options.workload.verify, "writes tell their place, reads are checked");
    app.add_option("--tls-ca", options.workload.tls_ca,
                   "speak TLS 1.3; who signs the server's key");
    app.add_option("--tls-suite", options.workload.tls_suite, "the only one to be taken");
    app.add_option("--area", options.workload.area_bytes, "use only so much of the export");
    app.add_flag("--sleep", options.sleeps,
                 "while there are no replies; else it polls, which needs a core of its own");
    app.add_option("--warmup", options.warmup_seconds);
    app.add_option("--seconds", options.seconds);
    app.add_option("--requests", options.requests, "stop after so many, whatever time it takes");
    app.add_option("--pid", options.server_pid, "of the server, whose CPU time is to be measured");
    app.add_option("--seed", options.seed);
    app.parse(argc, argv);
    if (options.requests != UINT64_MAX) {
        options.warmup_seconds = 0;
        options.seconds = 1e9;
    }
    return options;
}

void report(const Options& options, const Tally& tally, double seconds, Nanoseconds cpu_ns) {
    const auto requests = static_cast<double>(tally.requests);
    const auto us = [&](double rank) {
        return static_cast<double>(tally.latencies.percentile(rank)) / 1000;
    };
    nlohmann::ordered_json out = {
        {"requests", tally.requests},
        {"seconds", seconds},
        {"iops", requests / seconds},
        {"mib_per_s", requests * options.workload.request_bytes / seconds / (1 << 20)},
        {"p50_us", us(0.5)},
        {"p99_us", us(0.99)},
        {"p999_us", us(0.999)},
    };
    if (options.server_pid != 0)
        out["server_cpu_us"] = static_cast<double>(cpu_ns) / 1000 / requests;
    std::printf("%s\n", out.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Puts load on an NBD server and measures it");
    Options options;
    try {
        options = read(app, argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    }
    Loop loop(options);
    const auto nanoseconds = [](double seconds) { return static_cast<Nanoseconds>(seconds * 1e9); };
    Tally ignored;
    loop.run(now_ns() + nanoseconds(options.warmup_seconds), UINT64_MAX, ignored);
    Tally tally;
    const Nanoseconds cpu = cpu_time_ns(options.server_pid);
    const Nanoseconds began = now_ns();
    loop.run(began + nanoseconds(options.seconds), options.requests, tally);
    const double seconds = static_cast<double>(now_ns() - began) / 1e9;
    report(options, tally, seconds, cpu_time_ns(options.server_pid) - cpu);
    loop.leave();
    return 0;
}
