#include "server/serve.h"

#include <fcntl.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <csignal>
#include <cstring>
#include <iostream>
#include <random>

#include "config/listen.h"
#include "server/configuration.h"
#include "server/control/api.h"
#include "server/control_plane.h"
#include "server/event_watch.h"
#include "server/log.h"
#include "server/running.h"
#include "server/watch.h"

extern char** environ;

namespace server {
namespace {

constexpr std::chrono::milliseconds watch_quiet{200};  // Editors write in several steps.

std::uint64_t random_seed() {
    std::random_device device;
    return device();
}

/// Where a client finds an export of a listener.
std::string export_uri(const std::string& listener, const std::string& name) {
    const std::size_t query = listener.find("/?");
    if (query == std::string::npos) return listener + "/" + name;
    return listener.substr(0, query) + "/" + name + listener.substr(query + 1);
}

unsigned shard_count(const config::Spec& spec) {
    if (spec.shards != 0) return spec.shards;
    return std::max(1U, std::thread::hardware_concurrency());
}

Overrides overrides_of(const ServeOptions& options) {
    Overrides overrides{{}, options.seed, options.shards, options.control_path};
    for (const std::string& uri : options.listen) {
        auto address = config::parse_listen(uri);
        if (!address) throw StartError("--listen or $DMNBD_LISTEN: " + address.error().message, 2);
        overrides.listen.push_back(std::move(*address));
    }
    return overrides;
}

void print_banner(Running& running, std::uint64_t seed, const ServeOptions& options) {
    std::cout << "dmnbd " DMNBD_VERSION "  seed " << seed << "  " << options.banner << '\n';
    for (const std::string& uri : running.uris()) {
        for (const ServedExport& one : running.exports()) {
            std::cout << "  " << export_uri(uri, one.name) << "  " << one.device << "  "
                      << config::size_text(one.size_bytes) << '\n';
        }
    }
    for (const std::string& hint : options.hints) std::cout << hint << '\n';
    std::cout << "ready" << std::endl;
}

/// Runs the command with $uri set. Returns its pid.
pid_t start_command(const std::string& command, const std::string& uri) {
    ::setenv("uri", uri.c_str(), 1);
    std::string shell = "/bin/sh";
    std::string flag = "-c";
    std::string text = command;
    char* words[] = {shell.data(), flag.data(), text.data(), nullptr};
    pid_t child = 0;
    const int error = ::posix_spawn(&child, shell.c_str(), nullptr, nullptr, words, environ);
    if (error != 0) throw StartError("can't run " + shell + ": " + std::strerror(error), 1);
    return child;
}

int exit_code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Until the first signal that ends us, or the end of the command. A second signal while draining
/// exits at once.
class Wait {
  public:
    /// `hang_up` is called for each SIGHUP, and must not wait.
    Wait(pid_t command, std::function<void()> hang_up)
        : signals_(io_, SIGTERM, SIGINT),
          others_(io_, SIGHUP),
          command_(command),
          hang_up_(std::move(hang_up)) {
        if (command_ != 0) {
            others_.add(SIGCHLD);
            command_ended();  // Before that, its signal went to nobody.
        }
        wait_for_end();
        wait_for_others();
    }

    /// The exit code so far.
    int run() {
        io_.run();
        return code_;
    }

  private:
    void wait_for_end() {
        signals_.async_wait([this](std::error_code error, int) {
            if (error) return;
            others_.cancel();
            io_.stop();
        });
    }
    void wait_for_others() {
        others_.async_wait([this](std::error_code error, int signal) {
            if (error) return;
            if (signal == SIGCHLD && command_ended()) return;
            if (signal == SIGHUP) hang_up_();
            wait_for_others();
        });
    }
    bool command_ended() {
        int status = 0;
        if (::waitpid(command_, &status, WNOHANG) != command_) return false;
        code_ = exit_code_of(status);
        io_.stop();
        return true;
    }

    asio::io_context io_;
    asio::signal_set signals_;
    asio::signal_set others_;
    pid_t command_;
    std::function<void()> hang_up_;
    int code_ = 0;
};

FileWatch::Calls calls_of(Configuration& configuration, bool watch) {
    return {.files =
                [&configuration, watch] {
                    return watch && configuration.watches() ? configuration.files()
                                                            : std::vector<std::string>();
                },
            .changed = [&configuration] { configuration.look_for_changes(); },
            .poked = [&configuration] { configuration.reload(); }};
}

/// Clients, control connections and stores need more than the usual soft limit.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

void exit_at_once_on_signal() {
    for (const int signal : {SIGTERM, SIGINT}) {
        std::signal(signal, [](int number) { ::_exit(128 + number); });
    }
}

/// Each waits for what it needs of the others before it goes; see the end.
int serve_until_told(const config::Spec& given, const ServeOptions& options) {
    const Overrides overrides = overrides_of(options);
    config::Spec spec = given;
    apply_overrides(spec, overrides);
    const std::uint64_t seed = spec.seed.value_or(random_seed());
    auto running = std::make_unique<Running>(spec, seed, shard_count(spec));
    std::unique_ptr<control::Api> api;
    ControlPlane plane([&api](const control::Request& request) { return api->answer(request); });
    Configuration configuration(*running, options.table_path, overrides, &plane);
    api = std::make_unique<control::Api>(*running, &configuration);
    plane.start(spec);
    running->listen(spec.listen);
    print_banner(*running, seed, options);
    const auto uris = running->uris();
    const std::string uri = uris.empty() ? std::string() : export_uri(uris.front(), "");
    int code = 0;
    {
        EventWatch events(*running, running->feed());
        FileWatch watch(calls_of(configuration, options.watch), watch_quiet);
        Wait wait(options.run.empty() ? 0 : start_command(options.run, uri),
                  [&watch] { watch.poke(); });
        code = wait.run();
        exit_at_once_on_signal();
        running->end_steps();  // A reload under way ends here, too, and with it the watch can.
    }
    plane.stop();
    const auto drain = std::chrono::duration_cast<std::chrono::milliseconds>(running->drain_time());
    const Drained drained = running->drain(drain);
    if (drained != Drained::clean && code == 0) code = 1;
    if (drained == Drained::stuck) {
        spdlog::error("a store still holds requests after {} ms; exiting without it",
                      drain.count());
        stop_log();
        ::_exit(code);
    }
    return code;
}

}  // namespace

int serve(const config::Spec& spec, const ServeOptions& options) {
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    start_log(spec.log);
    int code = 1;
    try {
        code = serve_until_told(spec, options);
    } catch (const StartError& error) {
        std::cerr << error.what() << std::endl;
        code = error.exit_code;
    }
    stop_log();
    return code;
}

}  // namespace server
