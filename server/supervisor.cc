#include "server/supervisor.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <limits>

#include "config/values.h"
#include "server/environment.h"

namespace server {
namespace {

std::chrono::microseconds watchdog_time() {
    const std::string text = take_variable("WATCHDOG_USEC");
    const std::string process = take_variable("WATCHDOG_PID");
    if (!process.empty() && process != std::to_string(::getpid())) return {};
    const auto time = config::parse_count(text, std::numeric_limits<std::int64_t>::max());
    return std::chrono::microseconds(time ? static_cast<std::int64_t>(*time) : 0);
}

}  // namespace

Supervisor::Supervisor() : watchdog_(watchdog_time()) {
    const std::string name = take_variable("NOTIFY_SOCKET");
    const bool abstract = name.starts_with('@');
    if (name.empty()) return;
    if ((!abstract && !name.starts_with('/')) || name.size() >= sizeof address_.sun_path) {
        spdlog::warn("$NOTIFY_SOCKET is '{}': no path and no abstract name of a socket", name);
        return;
    }
    address_.sun_family = AF_UNIX;
    name.copy(address_.sun_path, name.size());
    if (abstract) address_.sun_path[0] = '\0';
    address_bytes_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    socket_ = Socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

void Supervisor::tell(const std::string& lines) const {
    if (socket_.fd() < 0) return;
    const auto* address = reinterpret_cast<const sockaddr*>(&address_);
    if (::sendto(socket_.fd(), lines.data(), lines.size(), MSG_NOSIGNAL, address, address_bytes_) <
        0) {
        spdlog::warn("the service manager can't be told {}: {}", lines.substr(0, lines.find('\n')),
                     std::strerror(errno));
    }
}

void Supervisor::ready(const std::string& status) const {
    std::string line = status;
    std::ranges::replace(line, '\n', ' ');
    tell("READY=1\nSTATUS=" + line);
}

void Supervisor::reloading() const {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();  // CLOCK_MONOTONIC.
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now);
    tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(us.count()) + "\nSTATUS=reloading");
}

void Supervisor::stopping() const {
    tell("STOPPING=1\nSTATUS=answering what is in flight");
}

void Supervisor::alive() const {
    tell("WATCHDOG=1");
}

}  // namespace server
