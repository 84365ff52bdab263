#include "server/control_plane.h"

#include <sys/stat.h>

#include "server/control/paths.h"
#include "server/log.h"
#include "server/net/sockets.h"
#include "server/running.h"

namespace server {
namespace {

control::TcpRules rules_of(const config::ControlSpec& spec) {
    return {
        .own_host = spec.http_host, .may_change = spec.http_write, .token_path = spec.token_path};
}

}  // namespace

std::string ControlPlane::path_of(const config::ControlSpec& spec) const {
    return spec.unix_path.empty() ? default_path_ : spec.unix_path;
}

ControlPlane::Server ControlPlane::listen_unix(const config::ControlSpec& spec) {
    if (spec.unix_path.empty() && default_path_.empty()) {
        default_path_ = control::make_default_path();
    }
    auto server = std::make_unique<control::ControlServer>(handler_);
    server->listen_unix(path_of(spec), spec.mode);
    return server;
}

ControlPlane::Server ControlPlane::listen_tcp(const config::ControlSpec& spec) {
    if (spec.http_host.empty()) return nullptr;
    if (!spec.token_path.empty()) control::read_token(spec.token_path);  // Or say so now.
    auto server = std::make_unique<control::ControlServer>(handler_);
    server->listen_tcp(spec.http_host, spec.http_port, rules_of(spec));
    return server;
}

void ControlPlane::start(const config::Spec& spec) {
    try {
        unix_ = listen_unix(spec.control);
        tcp_ = listen_tcp(spec.control);
        now_ = spec.control;
    } catch (const ListenError& error) {
        const char* fix = error.in_use ? "; choose another with --control PATH" : "";
        throw StartError(std::string(error.what()) + fix, error.in_use ? 5 : 1);
    } catch (const std::runtime_error& error) {
        throw StartError(error.what(), 1);
    }
}

void ControlPlane::stop() {
    unix_.reset();
    tcp_.reset();
}

void ControlPlane::prepare(const config::Spec& wanted) {
    next_ = wanted.control;
    next_log_ = wanted.log;
    moves_unix_ = path_of(next_) != path_of(now_) || path_of(next_).empty();
    moves_tcp_ = next_.http_host != now_.http_host || next_.http_port != now_.http_port;
    try {
        if (moves_unix_) next_unix_ = listen_unix(next_);
        if (moves_tcp_) next_tcp_ = listen_tcp(next_);
        if (!next_.token_path.empty()) control::read_token(next_.token_path);
    } catch (const std::runtime_error& error) {
        undo();
        const auto* listen = dynamic_cast<const ListenError*>(&error);
        const bool in_use = listen != nullptr && listen->in_use;
        throw ReloadError(in_use ? ReloadError::Kind::refused : ReloadError::Kind::failed,
                          "control", std::string("control: ") + error.what());
    }
}

void ControlPlane::commit() noexcept {
    if (moves_unix_) {
        unix_.swap(next_unix_);
    } else if (next_.mode != now_.mode) {
        ::chmod(path_of(next_).c_str(), next_.mode);
    }
    if (moves_tcp_) {
        tcp_.swap(next_tcp_);
    } else if (tcp_ != nullptr) {
        tcp_->set_rules(rules_of(next_));
    }
    now_ = next_;
    change_log(next_log_);
    undo();  // What is there by now is the old ones.
}

void ControlPlane::undo() noexcept {
    close(std::move(next_unix_));
    close(std::move(next_tcp_));
}

void ControlPlane::close(Server server) noexcept {
    if (server == nullptr) return;
    background_.post([last = std::shared_ptr(std::move(server))]() mutable { last.reset(); });
}

}  // namespace server
