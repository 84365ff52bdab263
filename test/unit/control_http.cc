#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "server/control/api.h"
#include "server/control/http.h"
#include "server/control/limits.h"
#include "server/net/sockets.h"
#include "unit/control_fake.h"
#include "unit/slow_build.h"

namespace {

using namespace server;
using namespace server::control;

const std::string probe = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A connection that speaks bytes.
struct Peer {
    explicit Peer(const std::string& path) : socket(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::connect(socket.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    explicit Peer(std::uint16_t port) : socket(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(socket.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }

    void send(const std::string& text) const {
        for (std::size_t at = 0; at < text.size();) {
            const auto sent = ::send(socket.fd(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
            if (sent <= 0) return;  // Cut off, which is what some tests want.
            at += static_cast<std::size_t>(sent);
        }
    }
    std::string receive_all() const {
        std::string text;
        char buffer[4096];
        for (ssize_t got; (got = ::recv(socket.fd(), buffer, sizeof buffer, 0)) > 0;) {
            text.append(buffer, static_cast<std::size_t>(got));
        }
        return text;
    }

    Socket socket;
};

/// A server on a socket of its own.
struct Fixture {
    ScratchFolder folder;
    FakeLive live;
    Api api{live};
    ControlServer server{[this](const Request& request) { return api.answer(request); }};
    std::string path = folder / "control.sock";

    Fixture() { server.listen_unix(path, 0600); }
    std::string ask(const std::string& text) const {
        const Peer peer(path);
        peer.send(text);
        return peer.receive_all();
    }
};

/// Leaves a socket file behind, as a server that was killed does.
void leave_stale(const std::string& path) {
    const Socket dead = listen_unix(path, 0600);
}

/// A crowd is more than the usual soft limit.
void raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

TEST_CASE("control server: a request is answered over its unix socket") {
    // The whole way once, in bytes.
    const Fixture fixture;
    const std::string answer = fixture.ask(probe);
    CHECK(answer.starts_with("HTTP/1.1 200 "));
    CHECK(answer.find("Content-Type: application/json\r\n") != std::string::npos);
    CHECK(answer.ends_with("{\"good\":true}"));
}

TEST_CASE("control server: path, query and Allow travel through HTTP") {
    // Escapes are decoded, a value may be left out.
    const Fixture fixture;
    const std::string end = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    CHECK(fixture.ask("GET /v1/devices/fla%6by/table?format=js%6fn" + end).find("500ms") !=
          std::string::npos);
    CHECK(fixture.ask("GET /livez?verbose" + end).find("parts") != std::string::npos);
    CHECK(fixture.ask("DELETE /livez" + end).find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
}

TEST_CASE("control server: the socket's file has its mode and goes with the server") {
    // Nobody else may find a door that is open for a moment, or a dead one later.
    ScratchFolder folder;
    const std::string path = folder / "c";
    {
        ControlServer server([](const Request&) { return Response{}; });
        server.listen_unix(path, 0640);
        struct stat file {};
        REQUIRE(::lstat(path.c_str(), &file) == 0);
        CHECK((file.st_mode & 07777) == 0640);
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("control server: a dead socket file is replaced") {
    // A server that was killed must not keep the next one from starting.
    ScratchFolder folder;
    const std::string path = folder / "c";
    leave_stale(path);
    REQUIRE(std::filesystem::exists(path));
    ControlServer server([](const Request&) { return Response{}; });
    server.listen_unix(path, 0600);
    const Peer peer(path);
    peer.send(probe);
    CHECK(peer.receive_all().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("control server: a live socket is in use, and stays") {
    // Exit code 5; the first server must not lose its door.
    const Fixture fixture;
    ControlServer second([](const Request&) { return Response{}; });
    try {
        second.listen_unix(fixture.path, 0600);
        FAIL("listened twice");
    } catch (const ListenError& error) {
        CHECK(error.in_use);
    }
    CHECK(fixture.ask(probe).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("control server: a file that is no socket is never touched") {
    // --control is a path that a person typed.
    ScratchFolder folder;
    const std::string path = folder / "precious";
    std::ofstream(path) << "data";
    ControlServer server([](const Request&) { return Response{}; });
    CHECK_THROWS_AS(server.listen_unix(path, 0600), ListenError);
    CHECK_THROWS_AS(server.listen_unix(folder / "no/such/folder", 0600), ListenError);
    CHECK_THROWS_AS(server.listen_unix(std::string(200, 'x'), 0600), ListenError);
    CHECK(std::filesystem::file_size(path) == 4);
}

TEST_CASE("control server: the file of a server that took the path over stays") {
    // An old server that ends late must not remove its successor's socket.
    ScratchFolder folder;
    const std::string path = folder / "c";
    auto old = std::make_unique<ControlServer>([](const Request&) { return Response{}; });
    old->listen_unix(path, 0600);
    std::filesystem::remove(path);
    ControlServer successor([](const Request&) { return Response{}; });
    successor.listen_unix(path, 0600);
    old.reset();
    CHECK(std::filesystem::exists(path));
}

TEST_CASE("control server: TCP is for looking, under a known name") {
    // The same API, without the power.
    Fixture fixture;
    const std::uint16_t port = fixture.server.listen_tcp("127.0.0.1", 0, {.own_host = "127.0.0.1"});
    const auto ask = [&](const std::string& line, const std::string& host) {
        const Peer peer(port);
        peer.send(line + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n");
        return peer.receive_all();
    };
    CHECK(ask("GET /livez", "127.0.0.1").starts_with("HTTP/1.1 200 "));
    CHECK(ask("GET /livez", "evil.example").find("unknown-host") != std::string::npos);
    CHECK(ask("POST /v1/devices", "127.0.0.1").find("read-only") != std::string::npos);
    ControlServer second([](const Request&) { return Response{}; });
    CHECK_THROWS_AS(second.listen_tcp("127.0.0.1", port, {}), ListenError);
}

TEST_CASE("control server: long lines and bodies are refused") {
    // Memory of a connection is bounded.
    const Fixture fixture;
    const std::string megabyte(1U << 20, 'x');
    const std::string answer = fixture.ask("GET /" + megabyte + " HTTP/1.1\r\n\r\n");
    CHECK((answer.empty() || answer.starts_with("HTTP/1.1 4")));
    const std::string head = "POST /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    CHECK(fixture.ask(head + "Content-Length: 65537\r\n\r\n").starts_with("HTTP/1.1 413 "));
    CHECK(fixture.ask(head + "Content-Length: 65536\r\n\r\n" + std::string(65536, 'x'))
              .starts_with("HTTP/1.1 405 "));
    CHECK(fixture.ask(head + "Transfer-Encoding: chunked\r\n\r\n100000\r\n" + megabyte).empty());
    CHECK(fixture.ask(probe).starts_with("HTTP/1.1 200 "));
}

TEST_CASE("control server: a probe is answered beside 1,000 idle and half-sent connections") {
    // A container whose probe starves is killed (abuse case 40).
    const Fixture fixture;
    raise_descriptor_limit();
    std::vector<std::unique_ptr<Peer>> crowd;
    for (int number = 0; number < 1000; ++number) {
        crowd.push_back(std::make_unique<Peer>(fixture.path));
        if (number % 2 == 0) crowd.back()->send("GET /livez HTTP/1.1\r\nHost: loc");
    }
    const auto start = std::chrono::steady_clock::now();
    CHECK(fixture.ask(probe).starts_with("HTTP/1.1 200 "));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1) * slow_build_factor);
}

TEST_CASE("control server: those who have asked outlast a crowd of those who have not") {
    // A suspend that waits must not be cut off by strangers who connect.
    ScratchFolder folder;
    const std::string path = folder / "c";
    std::atomic<bool> waiting = false;
    std::atomic<bool> go = false;
    ControlServer server([&](const Request&) {
        waiting = true;
        waiting.notify_all();
        go.wait(false);
        return Response{};
    });
    server.listen_unix(path, 0600);
    const Peer asks(path);
    asks.send(
        "POST /v1/devices/d/suspend HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    waiting.wait(false);
    std::vector<std::unique_ptr<Peer>> crowd;
    for (std::size_t number = 0; number < 2 * limits::crowd_max; ++number) {
        crowd.push_back(std::make_unique<Peer>(path));
    }
    CHECK(crowd.front()->receive_all().empty());
    go = true;
    go.notify_all();
    CHECK(asks.receive_all().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("control server: events come as they happen, and end with the server") {
    // A page that shows them keeps one connection, and no thread.
    std::optional<Fixture> fixture(std::in_place);
    const Peer peer(fixture->path);
    peer.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::string text;
    const auto receive_until = [&](const std::string& end) {
        char part[4096];
        while (text.find(end) == std::string::npos) {
            const ssize_t got = ::recv(peer.socket.fd(), part, sizeof part, 0);
            if (got <= 0) return false;
            text.append(part, static_cast<std::size_t>(got));
        }
        return true;
    };
    REQUIRE(receive_until(": this is dmnbd\n\n"));
    CHECK(text.find("Content-Type: text/event-stream\r\n") != std::string::npos);
    for (int number = 0; number < 100; ++number) {
        const std::string data = "{\"id\":" + std::to_string(number) + "}";
        fixture->live.feed().tell("client", data);
        REQUIRE(receive_until("event: client\ndata: " + data + "\n\n"));
    }
    CHECK(fixture->ask(probe).starts_with("HTTP/1.1 200 "));
    fixture->live.feed().end();
    CHECK(receive_until("\r\n0\r\n\r\n"));
}

TEST_CASE("control server: as many follow the events as may, and one that goes leaves its place") {
    Fixture fixture;
    EventFeed& feed = fixture.live.feed();
    const std::string follow = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    std::vector<std::unique_ptr<Peer>> peers;
    const auto receive_some = [](const Peer& peer) {
        char part[4096];
        const ssize_t got = ::recv(peer.socket.fd(), part, sizeof part, 0);
        return std::string(part, static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    };
    const auto one_more = [&] {
        peers.push_back(std::make_unique<Peer>(fixture.path));
        peers.back()->send(follow);
        return receive_some(*peers.back());
    };
    for (std::size_t number = 0; number < EventFeed::readers_max; ++number) {
        REQUIRE(one_more().starts_with("HTTP/1.1 200 "));
    }
    const std::string refusal = one_more();
    CHECK(refusal.starts_with("HTTP/1.1 503 "));
    CHECK(refusal.find("too-many-listeners") != std::string::npos);
    CHECK(fixture.ask(probe).starts_with("HTTP/1.1 200 "));
    peers.clear();
    std::string answer;
    for (int tries = 0; tries < 500 && !answer.starts_with("HTTP/1.1 200 "); ++tries) {
        feed.pulse();
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        answer = one_more();
    }
    CHECK(answer.starts_with("HTTP/1.1 200 "));
}

TEST_CASE("control server: one that goes away ends what is followed there, and waits for nobody") {
    // A reload that moves the address closes the old one.
    ScratchFolder folder;
    FakeLive live;
    Api api(live);
    auto server = std::make_unique<ControlServer>(
        [&](const Request& request) { return api.answer(request); });
    server->listen_unix(folder / "c", 0600);
    const Peer peer(folder / "c");
    peer.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    char part[4096];
    REQUIRE(::recv(peer.socket.fd(), part, sizeof part, 0) > 0);
    server.reset();
    peer.receive_all();  // Returns, because it has ended.
    CHECK_FALSE(live.feed().heard());
}

TEST_CASE("control server: a call that waits does not hold up a probe") {
    // A suspend may take long; the prober must not conclude that the program hangs.
    ScratchFolder folder;
    const std::string path = folder / "c";
    std::atomic<bool> waiting = false;
    std::atomic<bool> go = false;
    ControlServer server([&](const Request& request) {
        if (request.path == "/slow") {
            waiting = true;
            waiting.notify_all();
            go.wait(false);
        }
        return Response{};
    });
    server.listen_unix(path, 0600);
    const Peer slow(path);
    slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    waiting.wait(false);
    const Peer peer(path);
    peer.send(probe);
    CHECK(peer.receive_all().starts_with("HTTP/1.1 200 "));
    go = true;
    go.notify_all();
    CHECK(slow.receive_all().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("control server: as many suspends as may wait keep neither probes nor a resume out") {
    // The way out of a suspend behind stuck I/O is a resume; it must find a thread.
    ScratchFolder folder;
    const std::string path = folder / "c";
    std::atomic<unsigned> waiting = 0;
    std::atomic<bool> resumed = false;
    ControlServer server([&](const Request& request) {
        if (request.path.ends_with("/suspend")) {
            ++waiting;
            resumed.wait(false);
        } else if (request.path.ends_with("/resume")) {
            resumed = true;
            resumed.notify_all();
        }
        return Response{};
    });
    server.listen_unix(path, 0600);
    const auto ask = [&](const std::string& line) {
        auto peer = std::make_unique<Peer>(path);
        peer->send(line + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        return peer;
    };
    std::vector<std::unique_ptr<Peer>> suspends;
    for (unsigned number = 0; number < limits::waits_max; ++number) {
        suspends.push_back(ask("POST /v1/devices/d/suspend"));
    }
    while (waiting < limits::waits_max) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::string busy = ask("POST /v1/devices/d/suspend")->receive_all();
    CHECK(busy.starts_with("HTTP/1.1 503 "));
    CHECK(busy.find("taken back by a resume") != std::string::npos);
    CHECK(ask("GET /livez")->receive_all().starts_with("HTTP/1.1 200 "));
    CHECK(ask("POST /v1/devices/d/resume")->receive_all().starts_with("HTTP/1.1 200 "));
    for (const auto& each : suspends) CHECK(each->receive_all().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("control server: a table may be as long as a table file, and no longer") {
    // Everything else keeps to 64 KiB.
    ScratchFolder folder;
    const std::string path = folder / "c";
    ControlServer server([](const Request& request) {
        return Response{.body = std::to_string(request.body.size())};
    });
    server.listen_unix(path, 0600);
    const auto post = [&](const std::string& step, std::size_t bytes, const std::string& body) {
        const Peer peer(path);
        peer.send("POST /v1/devices/d/" + step + " HTTP/1.1\r\nHost: localhost\r\n" +
                  "Connection: close\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n" +
                  body);
        return peer.receive_all();
    };
    const std::size_t most = limits::table_bytes_max;
    CHECK(post("load", most, std::string(most, 'x')).ends_with("\r\n\r\n" + std::to_string(most)));
    CHECK(post("load", most + 1, "").starts_with("HTTP/1.1 413 "));
    CHECK(post("message", limits::body_bytes_max + 1, "").starts_with("HTTP/1.1 413 "));
}
