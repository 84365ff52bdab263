// Why: what a service manager is told, and the sockets that it gives us, are protocols of their
// own.
#include "server/supervisor.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "config/listen.h"
#include "server/net/passed_sockets.h"
#include "unit/folder.h"

using server::ListenError;
using server::PassedSockets;
using server::Socket;
using server::Supervisor;

namespace {

/// What a service manager hears.
struct Hearer {
    Socket socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};

    explicit Hearer(std::string name) {
        ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
        if (name.front() == '@') name.front() = '\0';
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        name.copy(address.sun_path, name.size());
        const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        REQUIRE(::bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), bytes) == 0);
    }
    std::string heard() const {
        char text[1000];
        const ssize_t bytes = ::recv(socket.fd(), text, sizeof text, 0);
        return bytes < 0 ? "" : std::string(text, static_cast<std::size_t>(bytes));
    }
};

/// Takes descriptor 3 and its neighbours for what is passed, and gives them back to whoever had
/// them.
struct Descriptors {
    int saved[3];

    Descriptors() {
        for (int i = 0; i < 3; ++i) saved[i] = ::fcntl(3 + i, F_DUPFD_CLOEXEC, 10);
        const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        for (int i = 0; i < 3; ++i) REQUIRE(::dup2(nothing, 3 + i) == 3 + i);
        if (nothing > 5) ::close(nothing);
    }
    ~Descriptors() {
        for (int i = 0; i < 3; ++i) {
            ::close(3 + i);
            if (saved[i] >= 0) ::dup2(saved[i], 3 + i);
            if (saved[i] >= 0) ::close(saved[i]);
        }
    }
    static void pass(int fd, const Socket& socket) { REQUIRE(::dup2(socket.fd(), fd) == fd); }
    static PassedSockets take(const std::string& count, pid_t process = ::getpid()) {
        ::setenv("LISTEN_PID", std::to_string(process).c_str(), 1);
        ::setenv("LISTEN_FDS", count.c_str(), 1);
        ::setenv("LISTEN_FDNAMES", "dmnbd.socket:other", 1);
        return PassedSockets::take();
    }
};

config::ListenSpec address(const std::string& text) {
    return *config::parse_listen(text);
}

/// Why they are refused.
std::string refusal(const std::string& count) {
    try {
        Descriptors::take(count);
    } catch (const ListenError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("supervisor: it hears how the server is, by path and by abstract name") {
    const Folder folder;
    for (const std::string& name : {folder / "notify", "@dmnbd-" + std::to_string(::getpid())}) {
        const Hearer hearer(name);
        const Supervisor supervisor;
        CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
        supervisor.ready("serving 2\nWATCHDOG=trigger");
        CHECK(hearer.heard() == "READY=1\nSTATUS=serving 2 WATCHDOG=trigger");
        supervisor.reloading();
        CHECK(hearer.heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        supervisor.alive();
        CHECK(hearer.heard() == "WATCHDOG=1");
        supervisor.stopping();
        CHECK(hearer.heard().starts_with("STOPPING=1\n"));
    }
}

TEST_CASE("supervisor: without one, or without a good address of it, nothing is said") {
    for (const char* name : {"", "no-path", "/nobody/there"}) {
        ::setenv("NOTIFY_SOCKET", name, 1);
        const Supervisor supervisor;
        supervisor.ready("well");
        CHECK(supervisor.watchdog().count() == 0);
    }
}

TEST_CASE("supervisor: the watchdog is for the process that is named") {
    ::setenv("WATCHDOG_USEC", "3000000", 1);
    CHECK(Supervisor().watchdog() == std::chrono::seconds(3));
    CHECK(std::getenv("WATCHDOG_USEC") == nullptr);
    ::setenv("WATCHDOG_USEC", "3000000", 1);
    ::setenv("WATCHDOG_PID", "1", 1);
    CHECK(Supervisor().watchdog().count() == 0);
    ::setenv("WATCHDOG_USEC", "-1", 1);
    CHECK(Supervisor().watchdog().count() == 0);
}

TEST_CASE("passed sockets: found by the address that a table names, in any spelling") {
    const Folder folder;
    const Descriptors restored;
    const Socket tcp = server::listen_tcp("127.0.0.1", 0);
    const std::string port = std::to_string(server::port_of(tcp));
    Descriptors::pass(3, tcp);
    Descriptors::pass(4, server::listen_unix(folder / "s", 0600));
    const PassedSockets passed = Descriptors::take("2");
    CHECK(std::getenv("LISTEN_FDS") == nullptr);
    CHECK(server::port_of(passed.at(address("tcp://127.0.0.1:" + port))) == server::port_of(tcp));
    CHECK(passed.at(address("tcp://localhost:" + port)).fd() >= 0);
    CHECK(passed.at(address("tcp://127.0.0.2:" + port)).fd() < 0);
    CHECK(passed.at(address("tcp://0.0.0.0:" + port)).fd() < 0);
    CHECK(passed.at(address("tcp://127.0.0.1:1")).fd() < 0);
    CHECK(passed.at(address("unix:" + (folder / "./s"))).fd() >= 0);
    CHECK(passed.at(address("unix:" + (folder / "t"))).fd() < 0);

    // Served all the same, if no table names them.
    std::vector<config::ListenSpec> listen{address("unix:" + (folder / "s"))};
    passed.add_to(listen);
    REQUIRE(listen.size() == 2);
    CHECK(listen[1].uri == "tcp://127.0.0.1:" + port);
}

TEST_CASE("passed sockets: one for both families is what a table calls any address") {
    const Descriptors restored;
    const Socket any = server::listen_tcp("::", 0);
    const std::string port = std::to_string(server::port_of(any));
    Descriptors::pass(3, any);
    const PassedSockets passed = Descriptors::take("1");
    CHECK(passed.at(address("tcp://0.0.0.0:" + port)).fd() >= 0);
    CHECK(passed.at(address("tcp://[::]:" + port)).fd() >= 0);
    CHECK(passed.at(address("tcp://[::1]:" + port)).fd() < 0);
}

TEST_CASE("passed sockets: one for IPv6 alone leaves any address of IPv4 to another") {
    const Descriptors restored;
    const Socket six(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    REQUIRE(::setsockopt(six.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0);
    const sockaddr_in6 any{.sin6_family = AF_INET6,
                           .sin6_port = 0,
                           .sin6_flowinfo = 0,
                           .sin6_addr = {},
                           .sin6_scope_id = 0};
    REQUIRE(::bind(six.fd(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0);
    REQUIRE(::listen(six.fd(), 1) == 0);
    const std::uint16_t number = server::port_of(six);
    const std::string port = std::to_string(number);
    Descriptors::pass(3, six);
    Descriptors::pass(4, server::listen_tcp("0.0.0.0", number));
    const PassedSockets passed = Descriptors::take("2");
    const auto family = [&](const std::string& uri) {
        int value = 0;
        socklen_t bytes = sizeof value;
        const Socket found = passed.at(address(uri + port));
        return ::getsockopt(found.fd(), SOL_SOCKET, SO_DOMAIN, &value, &bytes) == 0 ? value : -1;
    };
    CHECK(family("tcp://0.0.0.0:") == AF_INET);
    CHECK(family("tcp://[::]:") == AF_INET6);
    std::vector<config::ListenSpec> listen{address("tcp://0.0.0.0:" + port)};
    passed.add_to(listen);
    REQUIRE(listen.size() == 2);
    CHECK(listen[1].uri == "tcp://[::]:" + port);
}

TEST_CASE("passed sockets: those of another process are not ours") {
    std::vector<config::ListenSpec> listen;
    Descriptors::take("1", 1).add_to(listen);
    PassedSockets::take().add_to(listen);  // No variables at all.
    CHECK(listen.empty());
}

TEST_CASE("passed sockets: what can't be accepted on is refused by its name") {
    const Folder folder;
    const Descriptors restored;
    CHECK(refusal("many") == "LISTEN_FDS is 'many', not a number of sockets");
    CHECK(refusal("1000000000") == "LISTEN_FDS is '1000000000', not a number of sockets");
    Descriptors::pass(3, Socket(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    CHECK(refusal("1").find("'dmnbd.socket', that the service manager passed is no listening") !=
          std::string::npos);
    Descriptors::pass(3, Socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
    CHECK(refusal("1").find("ListenStream= and Accept=no") != std::string::npos);
    const Socket nameless(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un none{.sun_family = AF_UNIX, .sun_path = ""};
    REQUIRE(::bind(nameless.fd(), reinterpret_cast<const sockaddr*>(&none), sizeof(sa_family_t)) ==
            0);
    REQUIRE(::listen(nameless.fd(), 1) == 0);
    Descriptors::pass(3, nameless);
    CHECK(refusal("1").find("neither a TCP address nor a path") != std::string::npos);
}
