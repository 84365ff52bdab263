// A store of type nbd over a server of ours, in one process: for the sanitizers. Other servers,
// kills and fio are test/interop/remote's.
#include "unit/scripted_remote.h"
#include "unit/served.h"

using server::nbd::Command;
using socket_client::Client;

namespace {

struct Remote {
    Folder folder;
    std::unique_ptr<Served> far;

    Remote() { start(); }

    std::string far_text() const {
        return "stores: { img: { type: file, path: " + folder / "img" +
               ", size: 1MiB, create: true } }\n"
               "devices: { disk: { table: [ { target: linear, args: { device: img } } ] } }\n"
               "exports: { vol: disk }\nlisten: [ \"unix:" +
               folder / "far.sock" + "\" ]\n";
    }
    std::string near_text(const std::string& more = "") const {
        return "stores: { far: { type: nbd, size: 1MiB, uri: \"nbd+unix:///vol?socket=" +
               folder / "far.sock" + "\"" + more +
               " } }\n"
               "devices: { disk: { table: [ { target: linear, args: { device: far } } ] } }\n"
               "exports: { disk: disk }\n";
    }
    void start() {
        far = std::make_unique<Served>(far_text());
        far->socket = folder / "far.sock";
    }
    void restart() {
        far.reset();
        start();
    }
};

}  // namespace

#ifdef DMNBD_HAS_LIBNBD

namespace {

server::StoreInfo store_of(const Served& near) {
    return near.running->stores().front();
}

bool connected(const Served& near) {
    return store_of(near).link.value().connected;
}

std::uint32_t flush(Client& client) {
    client.request(Command::flush, 1, 0, 0);
    return client.reply().second;
}

}  // namespace

TEST_CASE_FIXTURE(Remote,
                  "remote: bytes arrive, and come back; each kind of request is passed on") {
    Served near(near_text(", connections: 3"));
    CHECK(connected(near));
    CHECK(near.write("disk", 7, 'x'));
    CHECK(near.read("disk", 7) == std::string(512, 'x'));
    CHECK(far->read("vol", 7) == std::string(512, 'x'));
    Client client(near.socket, "disk");
    for (const Command command : {Command::write_zeroes, Command::trim, Command::flush}) {
        client.request(command, 1, command == Command::flush ? 0 : 7 * 512,
                       command == Command::flush ? 0 : 512);
        CHECK(client.reply().second == 0);
    }
    CHECK(far->read("vol", 7) == std::string(512, '\0'));
    CHECK(store_of(near).errors == 0);
}

TEST_CASE_FIXTURE(Remote,
                  "remote: I/O waits for it, and one flush tells what may be lost ([O-6])") {
    Served near(near_text());
    CHECK(near.write("disk", 0, 'a'));
    Client client(near.socket, "disk");
    far.reset();
    CHECK(Served::within(std::chrono::seconds(5), [&] { return !connected(near); }));
    client.request(Command::read, 9, 0, 512);
    start();
    CHECK(client.reply() == std::pair<std::uint64_t, std::uint32_t>(9, 0));
    CHECK(client.receive(512) == std::string(512, 'a'));
    CHECK(flush(client) == 5);  // EIO
    CHECK(flush(client) == 0);
    restart();
    CHECK(near.read("disk") == std::string(512, 'a'));
    CHECK(flush(client) == 0);  // All had been flushed.
    CHECK(store_of(near).link.value().reconnects == 2);
    CHECK(near.device("disk").stats.stage_two > 0);
}

TEST_CASE_FIXTURE(Remote,
                  "remote: with reconnect: 0s an absence is told at once, then it is back") {
    Served near(near_text(", reconnect: 0s"));
    far.reset();
    CHECK(Served::within(std::chrono::seconds(5), [&] { return !connected(near); }));
    CHECK(near.read("disk") == "error");
    CHECK_FALSE(near.running->ready_health().back().good);
    start();
    CHECK(Served::within(std::chrono::seconds(5), [&] { return connected(near); }));
    CHECK(near.read("disk") == std::string(512, '\0'));
}

TEST_CASE_FIXTURE(Remote,
                  "remote: other options are another way to it, taken without a lost byte") {
    Served near(near_text());
    CHECK(near.write("disk", 3, 'b'));
    near.apply(near_text(", connections: 2, timeout: 5s"));
    CHECK(near.read("disk", 3) == std::string(512, 'b'));
    CHECK(near.apply(near_text(", connections: 2, timeout: 5s")).changes.empty());
}

TEST_CASE_FIXTURE(
    Remote, "remote: a write answered right before the connection ends counts as lost with it") {
    // It once counted only after the loss, so that the next flush called it durable.
    far.reset();
    ScriptedRemote remote(folder / "far.sock", [](Command command, unsigned connection) {
        return ScriptedRemote::Answer{0, command == Command::write && connection == 1};
    });
    Served near(near_text());
    CHECK(near.write("disk", 0, 'a'));
    CHECK(Served::within(std::chrono::seconds(5),
                         [&] { return remote.connections() == 2 && connected(near); }));
    Client client(near.socket, "disk");
    CHECK(flush(client) == 5);
    CHECK(flush(client) == 0);
}

TEST_CASE_FIXTURE(Remote, "remote: a flush of what an absent one may have lost does not succeed") {
    far.reset();
    ScriptedRemote remote(folder / "far.sock", [](auto...) { return ScriptedRemote::Answer{}; });
    Served near(near_text(", reconnect: 0s"));
    Client client(near.socket, "disk");
    CHECK(flush(client) == 0);
    CHECK(near.write("disk", 0, 'a'));
    remote.leave();
    CHECK(Served::within(std::chrono::seconds(5), [&] { return !connected(near); }));
    CHECK(flush(client) == 5);
    CHECK(flush(client) == 5);
    CHECK(near.running->drain(std::chrono::seconds(1)) == server::Drained::not_durable);
    near.running.reset();
}

TEST_CASE_FIXTURE(Remote, "remote: one that says it shuts down is left, and asked again") {
    // Its connection may stay open for long, and answer everything so.
    far.reset();
    ScriptedRemote remote(folder / "far.sock", [](Command, unsigned connection) {
        return ScriptedRemote::Answer{connection == 1 ? 108U : 0U, false};
    });
    Served near(near_text());
    CHECK(near.write("disk", 0, 'a'));
    CHECK(remote.connections() == 2);
    CHECK(store_of(near).errors == 0);
}

#else

TEST_CASE_FIXTURE(Remote, "remote: a build without libnbd says what is missing") {
    Served near("");
    CHECK(near.refusal(near_text()) == "store-open");
}

#endif
