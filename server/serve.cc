#include "server/serve.h"

#include <fcntl.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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
#include "server/net/passed_sockets.h"
#include "server/running.h"
#include "server/serve_wait.h"
#include "server/supervisor.h"
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

/// The same for one that may be there by TLS only; empty: at this address it is not.
std::string export_uri(const std::string& listener, config::Tls listens,
                       const config::ExportSpec& one) {
    using config::Tls;
    if (listens == Tls::no && one.tls == Tls::require) return {};
    if (listens == Tls::require && one.tls == Tls::no) return {};
    const std::string uri = export_uri(listener, one.name);
    const bool only = one.tls == Tls::require && listens == Tls::yes;
    return only ? "nbds" + uri.substr(3) : uri;
}

unsigned shard_count(const config::Spec& spec) {
    if (spec.shards != 0) return spec.shards;
    return std::max(1U, std::thread::hardware_concurrency());
}

std::shared_ptr<const PassedSockets> take_passed_sockets() {
    try {
        return std::make_shared<const PassedSockets>(PassedSockets::take());
    } catch (const ListenError& error) {
        throw StartError(error.what(), 1);
    }
}

Overrides overrides_of(const ServeOptions& options) {
    Overrides overrides{
        {}, options.seed, options.shards, options.control_path, take_passed_sockets()};
    for (const std::string& uri : options.listen) {
        auto address = config::parse_listen(uri);
        if (!address) throw StartError("--listen or $DMNBD_LISTEN: " + address.error().message, 2);
        overrides.listen.push_back(std::move(*address));
    }
    return overrides;
}

std::string banner(Running& running, std::uint64_t seed, const ServeOptions& options) {
    std::string text =
        "dmnbd " DMNBD_VERSION "  seed " + std::to_string(seed) + "  " + options.banner + '\n';
    const auto state = running.state();
    const auto uris = running.uris();
    const auto served = running.exports();
    for (std::size_t i = 0; i < uris.size(); ++i) {
        for (std::size_t k = 0; k < served.size(); ++k) {
            const std::string uri =
                export_uri(uris[i], state->spec.listen[i].tls, state->spec.exports[k]);
            if (uri.empty()) continue;
            text += "  " + uri + "  " + served[k].device + "  " +
                    config::size_text(served[k].size_bytes) + '\n';
        }
    }
    for (const std::string& hint : options.hints) text += hint + '\n';
    return text + "ready\n";
}

/// Ends early if we are told to end: nobody may be there to take it.
void print(std::string_view text, Wait& wait) {
    std::cout.flush();
    while (!text.empty() && !wait.ended()) {
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            std::cout.setstate(std::ios::badbit);  // Told at the end.
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
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

/// For whoever asks the service manager.
std::string status_text(const Running& running, Configuration& configuration) {
    const LiveConfig::Reloads reloads = configuration.reloads();
    const std::size_t count = running.state()->exports->all().size();
    return "serving " + std::to_string(count) + (count == 1 ? " export" : " exports") +
           ", generation " + std::to_string(reloads.generation) +
           (reloads.last_successful ? "" : "; the last change was refused, the log says why");
}

bool all_good(const std::vector<HealthPart>& parts) {
    return std::ranges::all_of(parts, &HealthPart::good);
}

/// Each waits for what it needs of the others before it goes; see the end.
int serve_until_told(const config::Spec& given, const ServeOptions& options) {
    const Supervisor supervisor;
    const Overrides overrides = overrides_of(options);
    config::Spec spec = given;
    apply_overrides(spec, overrides);
    const std::uint64_t seed = spec.seed.value_or(random_seed());
    auto running = std::make_unique<Running>(spec, seed, shard_count(spec), overrides.passed);
    std::unique_ptr<control::Api> api;
    ControlPlane plane([&api](const control::Request& request) { return api->answer(request); });
    Configuration configuration(*running, options.table_path, overrides, &plane);
    api = std::make_unique<control::Api>(*running, &configuration);
    plane.start(spec);
    running->listen(spec.listen);
    const auto tell_ready = [&] { supervisor.ready(status_text(*running, configuration)); };
    configuration.on_reload([&](bool begins) { begins ? supervisor.reloading() : tell_ready(); });
    const auto uris = running->uris();
    const std::string uri = uris.empty() ? std::string() : export_uri(uris.front(), "");
    int code = 0;
    {
        EventWatch events(*running, running->feed());
        FileWatch watch(calls_of(configuration, options.watch), watch_quiet);
        Wait wait({.hang_up = [&watch] { watch.poke(); },
                   .tick =
                       [&] {
                           if (all_good(running->live_health())) supervisor.alive();
                       },
                   .tick_time = supervisor.watchdog() / 2});
        // Not before signals are heard: who is told may send one at once.
        print(banner(*running, seed, options), wait);
        if (!options.run.empty() && !wait.ended()) wait.end_with(start_command(options.run, uri));
        tell_ready();
        code = wait.run();
        running->end_steps();  // A reload under way ends here, too, and with it the watch can.
    }
    supervisor.stopping();
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
