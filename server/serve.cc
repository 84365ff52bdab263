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
#include "server/control/api.h"
#include "server/control/http.h"
#include "server/control/paths.h"
#include "server/log.h"
#include "server/running.h"

extern char** environ;

namespace server {
namespace {

constexpr int in_use_code = 5;

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

unsigned shard_count(const config::Spec& spec, const ServeOptions& options) {
    if (options.shards) return *options.shards;
    if (spec.shards != 0) return spec.shards;
    return std::max(1U, std::thread::hardware_concurrency());
}

std::vector<config::ListenSpec> addresses(const config::Spec& spec, const ServeOptions& options) {
    if (options.listen.empty()) return spec.listen;
    std::vector<config::ListenSpec> parsed;
    for (const std::string& uri : options.listen) {
        auto address = config::parse_listen(uri);
        if (!address) throw StartError("--listen " + uri + ": " + address.error().message, 2);
        parsed.push_back(std::move(*address));
    }
    return parsed;
}

std::unique_ptr<control::ControlServer> start_control(control::Api& api, const config::Spec& spec,
                                                      const ServeOptions& options) {
    auto server = std::make_unique<control::ControlServer>(
        [&api](const control::Request& request) { return api.answer(request); });
    const config::ControlSpec& given = spec.control;
    try {
        std::string path = options.control_path;
        if (path.empty()) path = given.unix_path;
        if (path.empty()) path = control::make_default_path();
        server->listen_unix(path, given.mode);
        if (!given.http_host.empty())
            server->listen_tcp(given.http_host, given.http_port, given.http_write);
    } catch (const ListenError& error) {
        const char* fix = error.in_use ? "; choose another with --control PATH" : "";
        throw StartError(std::string(error.what()) + fix, error.in_use ? in_use_code : 1);
    } catch (const std::runtime_error& error) {
        throw StartError(error.what(), 1);
    }
    return server;
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
    explicit Wait(pid_t command)
        : signals_(io_, SIGTERM, SIGINT), others_(io_, SIGHUP), command_(command) {
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
            if (signal == SIGHUP) spdlog::warn("SIGHUP: this version does not reload; restart it");
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
    int code_ = 0;
};

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

int serve_until_told(const config::Spec& spec, const ServeOptions& options) {
    const std::uint64_t seed = options.seed ? *options.seed : spec.seed.value_or(random_seed());
    auto running = std::make_unique<Running>(spec, seed, shard_count(spec, options));
    control::Api api(*running);
    auto control = start_control(api, spec, options);
    running->listen(addresses(spec, options));
    print_banner(*running, seed, options);
    const auto uris = running->uris();
    const std::string uri = uris.empty() ? std::string() : export_uri(uris.front(), "");
    int code = 0;
    {
        Wait wait(options.run.empty() ? 0 : start_command(options.run, uri));
        code = wait.run();
    }
    exit_at_once_on_signal();
    running->end_steps();
    control.reset();
    const auto drain = std::chrono::duration_cast<std::chrono::milliseconds>(spec.reload.drain);
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
