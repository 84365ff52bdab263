// How connections end while the server has work of theirs, over real sockets.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "config/load.h"
#include "server/running.h"
#include "unit/folder.h"
#include "unit/socket_client.h"

using server::nbd::Command;
using socket_client::Client;

namespace {

constexpr std::uint64_t many = 300;  // More than may be in flight, so that its socket is not read.

struct Server {
    Folder folder;
    config::Spec spec = spec_of(folder);
    server::Running running{spec, 1, 1};
    std::string socket = folder / "nbd.sock";

    Server() { running.listen(spec.listen); }
    ~Server() { CHECK(running.drain(std::chrono::seconds(0)) == server::Drained::clean); }

    static config::Spec spec_of(const Folder& folder) {
        const std::string text =
            "version: 1\nseed: 1\nstores: { m: { type: memory, size: 1MiB } }\n"
            "devices:\n"
            "  down: { table: [ { target: flakey, args: { device: m, up: 0s, down: 9s } } ] }\n"
            "  stuck: { retry: {}, table: [ { target: linear, args: { device: down } } ] }\n"
            "  good: { table: [ { target: linear, args: { device: m } } ] }\n"
            "exports: { stuck: stuck, good: good }\n"
            "listen: [ \"unix:" +
            (folder / "nbd.sock") + "\" ]\n";
        config::Diagnostics found;
        const auto spec = config::load_text("test", text, found);
        REQUIRE_MESSAGE(spec.has_value(), found.human());
        return *spec;
    }
    std::uint32_t connections() { return running.exports()[0].connections; }
    bool all_gone_within(std::chrono::milliseconds time) {
        const auto until = std::chrono::steady_clock::now() + time;
        while (connections() != 0 && std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        return connections() == 0;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Server,
                  "live: a client that goes away while its socket is not read is noticed ([O-2])") {
    auto client = std::make_unique<Client>(socket, "stuck");
    for (std::uint64_t i = 0; i < many; ++i) client->request(Command::read, i, 0, 512);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    REQUIRE(connections() == 1);
    client.reset();
    CHECK(all_gone_within(std::chrono::milliseconds(1000)));  // Retries would go on for 10 s.
}

TEST_CASE_FIXTURE(Server,
                  "live: DISC, then half a close: all that came before is answered (E2, E3)") {
    Client client(socket, "good");
    for (std::uint64_t i = 0; i < many; ++i) {
        client.request(Command::write, i, i * 512, 512, std::string(512, 'x'));
    }
    client.request(Command::disconnect, 0, 0, 0);
    client.close_half();
    for (std::uint64_t i = 0; i < many; ++i) REQUIRE(client.reply().second == 0);
    CHECK(client.at_end());
}

TEST_CASE_FIXTURE(Server, "live: so it is if the DISC comes in two parts") {
    Client client(socket, "good");
    constexpr std::uint32_t bytes = 65536;  // More than fits the socket until they are read.
    std::string all;
    for (std::uint64_t i = 0; i < many; ++i) {
        all += nbd_test::request_header(Command::read, i, 0, bytes);
    }
    all += nbd_test::request_header(Command::disconnect, 0, 0, 0);
    client.send(all.substr(0, all.size() - 11));  // Received as one, and not taken up at once.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    client.send(all.substr(all.size() - 11));
    client.close_half();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    for (std::uint64_t i = 0; i < many; ++i) {
        REQUIRE(client.reply().second == 0);
        client.receive(bytes);
    }
    CHECK(client.at_end());
}

TEST_CASE_FIXTURE(Server,
                  "live: what a drain can't finish is told to clients that understand it (37)") {
    Client client(socket, "stuck", true);
    Client simple(socket, "stuck");
    client.request(Command::read, 7, 0, 512);
    simple.request(Command::read, 7, 0, 512);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(running.drain(std::chrono::milliseconds(100)) == server::Drained::clean);
    server::nbd::ChunkHeader chunk;
    const std::string head = client.receive(sizeof chunk);
    std::memcpy(&chunk, head.data(), sizeof chunk);
    CHECK(chunk.cookie == 7);
    const std::string payload = client.receive(chunk.payload_bytes);
    CHECK(payload.substr(0, 4) == nbd_test::u32(108));
    CHECK(simple.at_end());  // Unanswered: a kernel client re-sends elsewhere instead of failing.
}
