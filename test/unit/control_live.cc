// Steps, waits and dropped clients on a real server, over its sockets.
#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <future>
#include <thread>

#include "config/load.h"
#include "server/control/api.h"
#include "server/control/http.h"
#include "server/running.h"
#include "unit/cli_fixture.h"
#include "unit/folder.h"
#include "unit/socket_client.h"

using cli_test::has;
using cli_test::Outcome;
using server::nbd::Command;
using socket_client::Client;
using namespace std::chrono_literals;
namespace exits = server::cli::exits;

namespace {

constexpr std::uint32_t block = 4096;

struct Server {
    Folder folder;
    config::Spec spec = spec_of(folder);
    server::Running running{spec, 1, 2};
    server::control::Api api{running};
    std::unique_ptr<server::control::ControlServer> control =
        std::make_unique<server::control::ControlServer>(
            [this](const server::control::Request& request) { return api.answer(request); });
    std::string socket = folder / "nbd.sock";

    Server() {
        control->listen_unix(folder / "control.sock", 0600);
        running.listen(spec.listen);
    }
    ~Server() {
        running.end_steps();
        control.reset();
        CHECK(running.drain(1s) == server::Drained::clean);
    }

    static config::Spec spec_of(const Folder& folder) {
        const std::string text =
            "version: 1\nseed: 1\nstores: { m: { type: memory, size: 1MiB } }\n"
            "devices:\n"
            "  d: { table: [ { target: linear, args: { device: m } } ] }\n"
            "  slow: { table: [ { target: delay, args: { device: d, delay: 300ms } } ] }\n"
            "  worn: { table: [ { target: dust, args: { device: m, block_size: 512B } } ] }\n"
            "exports: { d: d, slow: slow }\n"
            "listen: [ \"unix:" +
            (folder / "nbd.sock") + "\" ]\n";
        config::Diagnostics found;
        const auto spec = config::load_text("test", text, found);
        REQUIRE_MESSAGE(spec.has_value(), found.human());
        return *spec;
    }

    Outcome ask(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"--control", folder / "control.sock"});
        return cli_test::run(std::move(arguments));
    }
    bool done(std::vector<std::string> arguments) const {
        const Outcome outcome = ask(std::move(arguments));
        CHECK_MESSAGE(outcome.code == exits::done, outcome.err);
        return outcome.code == exits::done;
    }
    /// The number of the one client, once it has so many requests in flight.
    std::uint64_t client_with(std::size_t in_flight) {
        for (int tries = 0; tries < 10'000; ++tries) {
            const auto all = running.clients();
            if (all.size() == 1 && all[0].in_flight == in_flight) return all[0].id;
            std::this_thread::sleep_for(1ms);
        }
        FAIL("there is no such client");
        return 0;
    }
    std::string first_block() const {
        Client reader(socket, "d");
        reader.request(Command::read, 1, 0, block);
        CHECK(reader.reply().second == 0);
        return reader.receive(block);
    }
    void write_first_block(char letter) const {
        Client writer(socket, "d");
        writer.request(Command::write, 1, 0, block, std::string(block, letter));
        CHECK(writer.reply().second == 0);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Server, "control live: load, look, resume: the new table serves") {
    // dmsetup's way of changing a table, word for word.
    done({"load", "d", "--table", "0 1024 linear m 1024\n1024 1024 linear m 0"});
    CHECK(has(ask({"info", "d", "-c"}).out, "d     LI-w"));
    CHECK(ask({"table", "d"}).out == "0 2048 linear m 0\n");
    CHECK(ask({"table", "d", "--inactive"}).out == "0 1024 linear m 1024\n1024 1024 linear m 0\n");
    done({"suspend", "d", "--noflush"});
    CHECK(has(ask({"info", "d"}).out, "SUSPENDED"));
    done({"resume", "d"});
    CHECK(ask({"table", "d"}).out == "0 1024 linear m 1024\n1024 1024 linear m 0\n");
    CHECK(has(ask({"info", "d"}).out, "Event number:      2"));
}

TEST_CASE_FIXTURE(Server, "control live: a refused table leaves both slots as they were [S-12]") {
    // Whatever form it came in.
    done({"load", "d", "--table", "0 8 zero"});
    CHECK(ask({"load", "d", "--table", "0 8 linear nowhere 0"}).code == exits::failed);
    std::ofstream(folder / "t.yaml") << "table:\n  - { target: linear, args: { device: d } }\n";
    const Outcome cycle = ask({"load", "d", folder / "t.yaml"});
    CHECK(cycle.code == exits::failed);
    CHECK(has(cycle.err, "table:2:"));
    CHECK(ask({"table", "d", "--inactive"}).out == "0 8 zero \n");
    done({"clear", "d"});
    CHECK(has(ask({"info", "-c"}).out, "d     L--w"));
    CHECK(ask({"table", "d"}).out == "0 2048 linear m 0\n");
}

TEST_CASE_FIXTURE(Server, "control live: messages reach their target, and dm's statistics") {
    // dmsetup message.
    done({"message", "worn", "0", "addbadblock", "60"});
    CHECK(ask({"message", "worn", "0", "countbadblocks"}).out ==
          "countbadblocks: 1 badblock(s) found\n");
    CHECK(ask({"message", "worn", "0", "addbadblock", "60"}).code == exits::failed);
    CHECK(ask({"message", "d", "0", "nonsense"}).code == exits::failed);
    CHECK(ask({"message", "d", "0", "@stats_create", "-", "/2"}).out == "0\n");
    CHECK(ask({"message", "d", "0", "@stats_list"}).out == "0: 0+2048 1024 - -\n");
}

TEST_CASE_FIXTURE(Server, "control live: a wait ends when the new table is there") {
    // Whoever looks then must find the new one.
    auto waited = std::async(std::launch::async, [this] { return ask({"wait", "d", "1"}); });
    CHECK(waited.wait_for(50ms) == std::future_status::timeout);
    done({"load", "d", "--table", "0 2048 zero"});
    done({"suspend", "d"});
    CHECK(waited.wait_for(20ms) == std::future_status::timeout);
    done({"resume", "d"});
    CHECK(waited.get().code == exits::done);
    CHECK(ask({"table", "d"}).out == "0 2048 zero \n");
}

TEST_CASE_FIXTURE(Server, "control live: a server that stops ends the waits") {
    // A forgotten wait must not keep it from ending.
    auto waited = std::async(std::launch::async, [this] { return ask({"wait", "d"}); });
    CHECK(waited.wait_for(50ms) == std::future_status::timeout);
    running.end_steps();
    REQUIRE(waited.wait_for(5s) == std::future_status::ready);
    const Outcome outcome = waited.get();
    CHECK(outcome.code == exits::failed);
    CHECK(has(outcome.err, "the server is stopping"));
    CHECK(ask({"suspend", "d"}).code == exits::failed);
}

TEST_CASE_FIXTURE(Server, "control live: clients are told apart by number and export") {
    // Numbers are not used again.
    CHECK(running.clients().empty());
    std::uint64_t first = 0;
    {
        const Client client(socket, "d");
        first = client_with(0);
        CHECK(running.clients()[0].export_name == "d");
        CHECK(running.clients()[0].peer == "unix");
        CHECK(has(ask({"clients"}).out, " unix    d         0 serving\n"));
    }
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (!running.clients().empty() && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(1ms);
    }
    const Client client(socket, "slow");
    CHECK(client_with(0) > first);
}

TEST_CASE_FIXTURE(Server,
                  "control live: what a dropped client has waiting is never issued ([O-2])") {
    // Otherwise a write that was re-sent elsewhere could land again, later.
    write_first_block('a');
    done({"suspend", "d", "--noflush"});
    Client client(socket, "d");
    client.request(Command::write, 1, 0, block, std::string(block, 'b'));
    client.request(Command::write, 2, block, block, std::string(block, 'b'));
    const std::uint64_t id = client_with(2);
    done({"clients", "drop", std::to_string(id)});
    CHECK(running.clients().empty());
    CHECK(client.at_end());
    done({"resume", "d"});
    CHECK(first_block() == std::string(block, 'a'));
    CHECK(ask({"clients", "drop", std::to_string(id)}).code == exits::no_such);
}

TEST_CASE_FIXTURE(Server,
                  "control live: after a drop nothing of the client reaches a store ([O-2])") {
    // Its write is in a target's hands, on its way down; whoever dropped it writes afterwards.
    Client client(socket, "slow");
    client.request(Command::write, 1, 0, block, std::string(block, 'b'));
    const std::uint64_t id = client_with(1);
    done({"clients", "drop", std::to_string(id)});
    write_first_block('c');
    std::this_thread::sleep_for(400ms);
    CHECK(first_block() == std::string(block, 'c'));
}

TEST_CASE_FIXTURE(Server, "control live: a client that negotiates can be dropped, too") {
    // It holds a place among the connections.
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const std::uint64_t id = client_with(0);
    CHECK_FALSE(running.clients()[0].export_name.has_value());
    CHECK(running.drop_client(id));
    CHECK(running.clients().empty());
    CHECK_FALSE(running.drop_client(id));
    ::close(fd);
}
