#include "server/net/passed_sockets.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
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

int option(int fd, int level, int which) {
    int value = 0;
    socklen_t length = sizeof value;
    return ::getsockopt(fd, level, which, &value, &length) == 0 ? value : -1;
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
    if (option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1 ||
        option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM) {
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

/// As systemd makes one for `ListenStream=PORT`, unless its unit says BindIPv6Only=ipv6-only.
bool serves_both_families(int fd, const config::ListenSpec& spec) {
    return spec.host == "::" && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
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
        const bool both_families = serves_both_families(fd, spec);
        passed.all_.push_back({Socket(fd), std::move(spec), both_families});
    }
    return passed;
}

bool PassedSockets::One::listens_at(const config::ListenSpec& wanted) const {
    namespace fs = std::filesystem;
    if (spec.is_unix() != wanted.is_unix()) return false;
    if (spec.is_unix()) {
        return fs::path(spec.path).lexically_normal() ==
               fs::absolute(wanted.path).lexically_normal();
    }
    return spec.port == wanted.port &&
           std::ranges::any_of(hosts(wanted), [&](const std::string& host) {
               return host == spec.host || (both_families && host == "0.0.0.0");
           });
}

/// Null: none.
const PassedSockets::One* PassedSockets::find(const config::ListenSpec& spec) const {
    const auto found =
        std::ranges::find_if(all_, [&](const One& one) { return one.listens_at(spec); });
    return found == all_.end() ? nullptr : &*found;
}

Socket PassedSockets::at(const config::ListenSpec& spec) const {
    const One* const one = find(spec);
    return one == nullptr ? Socket() : Socket(::fcntl(one->socket.fd(), F_DUPFD_CLOEXEC, 0));
}

void PassedSockets::add_to(std::vector<config::ListenSpec>& listen) const {
    for (const One& one : all_) {
        // What a name of several addresses stands for is one of them: the others must be served
        // too.
        const bool named =
            std::ranges::any_of(listen, [&](const auto& each) { return find(each) == &one; });
        if (!named) listen.push_back(one.spec);
    }
}

}  // namespace server
