#include "server/net/passed_sockets.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <sstream>

#include "config/listen.h"
#include "config/values.h"
#include "server/environment.h"

namespace server {
namespace {

constexpr int first_descriptor = 3;  // Of the protocol: behind stdin, stdout and stderr.
constexpr std::uint64_t passed_max = 256;

[[noreturn]] void refuse(int fd, const std::string& name, const std::string& why) {
    throw ListenError("descriptor " + std::to_string(fd) +
                          (name.empty() ? "" : ", '" + name + "',") +
                          " that the service manager passed " + why,
                      false);
}

int option(int fd, int which) {
    int value = 0;
    socklen_t length = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, which, &value, &length) == 0 ? value : -1;
}

std::string numeric(const sockaddr* address, socklen_t length) {
    char host[NI_MAXHOST] = "";
    ::getnameinfo(address, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
    return host;
}

/// As it would stand in a table file; empty if nothing there could say it.
std::string uri_of(int fd) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::getsockname(fd, generic, &length) != 0) return "";
    if (address.ss_family == AF_UNIX) {
        const auto& local = reinterpret_cast<const sockaddr_un&>(address);
        if (length <= offsetof(sockaddr_un, sun_path) || local.sun_path[0] == '\0') return "";
        return "unix:" +
               std::string(local.sun_path, ::strnlen(local.sun_path, sizeof local.sun_path));
    }
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return "";
    const std::string host = numeric(generic, length);
    const bool six = address.ss_family == AF_INET6;
    const Socket borrowed(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return "tcp://" + (six ? "[" + host + "]" : host) + ":" + std::to_string(port_of(borrowed));
}

config::ListenSpec spec_of(int fd, const std::string& name) {
    if (option(fd, SO_ACCEPTCONN) != 1 || option(fd, SO_TYPE) != SOCK_STREAM) {
        refuse(fd, name,
               "is no listening stream socket; its unit needs ListenStream= and Accept=no");
    }
    const auto spec = config::parse_listen(uri_of(fd));
    if (!spec)
        refuse(fd, name, "has neither a TCP address nor a path; name one in its ListenStream=");
    return *spec;
}

/// All addresses that a host's name stands for.
std::vector<std::string> hosts(const config::ListenSpec& spec) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    std::vector<std::string> found;
    if (::getaddrinfo(spec.host.c_str(), nullptr, &wanted, &list) != 0) return found;
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
    for (; list != nullptr; list = list->ai_next) {
        found.push_back(numeric(list->ai_addr, list->ai_addrlen));
    }
    return found;
}

/// systemd makes one socket for both families of `ListenStream=PORT`: no other fits beside it.
bool is_any(const std::string& host) {
    return host == "0.0.0.0" || host == "::";
}

bool same_place(const config::ListenSpec& passed, const config::ListenSpec& wanted) {
    namespace fs = std::filesystem;
    if (passed.is_unix() != wanted.is_unix()) return false;
    if (passed.is_unix()) {
        return fs::path(passed.path).lexically_normal() ==
               fs::absolute(wanted.path).lexically_normal();
    }
    return passed.port == wanted.port &&
           std::ranges::any_of(hosts(wanted), [&](const std::string& host) {
               return host == passed.host || (is_any(host) && is_any(passed.host));
           });
}

std::vector<std::string> split_names(const std::string& text) {
    std::vector<std::string> names;
    std::istringstream words(text);
    for (std::string name; std::getline(words, name, ':');) names.push_back(name);
    return names;
}

}  // namespace

PassedSockets PassedSockets::take() {
    const std::string process = take_variable("LISTEN_PID");
    const std::string number = take_variable("LISTEN_FDS");
    const std::vector<std::string> names = split_names(take_variable("LISTEN_FDNAMES"));
    PassedSockets passed;
    if (process != std::to_string(::getpid())) return passed;  // They are somebody else's.
    const auto count = config::parse_count(number, passed_max);
    if (!count) throw ListenError("LISTEN_FDS is '" + number + "', not a number of sockets", false);
    for (std::size_t i = 0; i < *count; ++i) {
        const int fd = first_descriptor + static_cast<int>(i);
        const std::string name = i < names.size() ? names[i] : "";
        config::ListenSpec spec = spec_of(fd, name);
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
        ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
        passed.all_.push_back({Socket(fd), std::move(spec)});
    }
    return passed;
}

Socket PassedSockets::at(const config::ListenSpec& spec) const {
    for (const One& one : all_) {
        if (same_place(one.spec, spec)) return Socket(::fcntl(one.socket.fd(), F_DUPFD_CLOEXEC, 0));
    }
    return Socket();
}

void PassedSockets::add_to(std::vector<config::ListenSpec>& listen) const {
    for (const One& one : all_) {
        const bool named = std::ranges::any_of(
            listen, [&](const auto& each) { return same_place(one.spec, each); });
        if (!named) listen.push_back(one.spec);
    }
}

}  // namespace server
