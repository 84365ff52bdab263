// A reload that fails at any of its steps puts everything back and says why (user-experience 7,
// [O-7]): old tables live, gates open, new stores closed and new files gone.
#include <atomic>
#include <fstream>

#include "unit/served.h"

using server::ReloadError;
using server::nbd::Command;
using socket_client::Client;

namespace {

/// Two stacks; the wanted file changes all four devices, adds one and opens two files.
struct Two : Served {
    static constexpr const char* before =
        "stores:\n"
        "  a: { type: file, path: @/a, size: 1MiB, create: true }\n"
        "  b: { type: file, path: @/b, size: 1MiB, create: true }\n"
        "devices:\n"
        "  low1: { table: [ { target: linear, args: { device: a } } ] }\n"
        "  low2: { table: [ { target: linear, args: { device: b } } ] }\n"
        "  top1: { table: [ { target: linear, args: { device: low1 } } ] }\n"
        "  top2: { table: [ { target: linear, args: { device: low2 } } ] }\n"
        "exports: { one: top1, two: top2 }\n";
    static constexpr const char* wanted =
        "stores:\n"
        "  a: { type: file, path: @/a, size: 1MiB, create: true }\n"
        "  b: { type: file, path: @/b, size: 1MiB, create: true }\n"
        "  c: { type: file, path: @/c, size: 1MiB, create: true }\n"
        "  d: { type: file, path: @/d, size: 1MiB, create: true }\n"
        "devices:\n"
        "  low1: { table: [ { target: linear, args: { device: c } } ] }\n"
        "  low2: { table: [ { target: linear, args: { device: d } } ] }\n"
        "  top1: { table: [ { target: linear, args: { device: low2 } } ] }\n"
        "  top2: { table: [ { target: linear, args: { device: low1 } } ] }\n"
        "  more: { table: [ { target: linear, args: { device: d } } ] }\n"
        "exports: { one: top1, two: top2, three: more }\n";

    Two() : Served(before) {
        CHECK(write("one", 0, '1'));
        CHECK(write("two", 0, '2'));
    }
    void check_all_is_as_before() {
        CHECK(read("one") == std::string(512, '1'));
        CHECK(read("two") == std::string(512, '2'));
        CHECK_THROWS(Client(socket, "three"));
        CHECK_FALSE(std::filesystem::exists(folder / "c"));
        CHECK_FALSE(std::filesystem::exists(folder / "d"));
        for (const auto& each : running->devices()) {
            CHECK_FALSE(each.suspended);
            CHECK_FALSE(each.inactive_table);
            CHECK(each.event_number == 1);
        }
        CHECK(within(std::chrono::seconds(2),
                     [&] { return running->ownership().stores().size() == 2; }));
        CHECK(within(std::chrono::seconds(2),
                     [&] { return running->ownership().devices().size() == 4; }));
    }
    /// And once what was wrong is right it goes well.
    void check_it_can_be_done() {
        apply(wanted);
        CHECK(read("one") == std::string(512, '\0'));
        CHECK(read("three") == std::string(512, '\0'));
        apply(before);
        CHECK(read("one") == std::string(512, '1'));
    }
};

/// Takes part in a reload, and may refuse.
struct Refusing : server::Companion {
    bool refuses = false;
    int prepared = 0;
    int committed = 0;
    int undone = 0;
    void prepare(const config::Spec&) override {
        if (refuses) throw ReloadError(ReloadError::Kind::failed, "companion", "it refuses");
        ++prepared;
    }
    void commit() noexcept override { ++committed; }
    void undo() noexcept override { ++undone; }
};

}  // namespace

TEST_CASE_FIXTURE(Two, "reload: a store that can't be opened, half-way through several") {
    const config::Spec spec = load(wanted);
    std::ofstream(folder / "d") << "too short";  // After it was checked.
    CHECK(refusal(spec) == "store-open");
    std::filesystem::remove(folder / "d");
    check_all_is_as_before();
    check_it_can_be_done();
}

TEST_CASE_FIXTURE(Two, "reload: a file that another server has is refused, at its line") {
    const config::Spec spec = load(wanted);
    const server::OpenFile other("x", {.path = folder / "d", .size_sectors = 2048, .create = true});
    try {
        running->apply(spec, {});
        FAIL("applied");
    } catch (const server::BadTable& bad) {
        CHECK(bad.found.all().front().line == 7);
        CHECK(bad.found.all().front().message.find("another server") != std::string::npos);
    }
    std::filesystem::remove(folder / "d");
    check_all_is_as_before();
}

TEST_CASE_FIXTURE(Two, "reload: a table that can't be built") {
    config::Spec spec = load(wanted);
    spec.devices[3].rows[0].words = {"low1", "5000000"};  // As no check would let pass.
    CHECK(refusal(spec) == "past-end");
    check_all_is_as_before();
    check_it_can_be_done();
}

TEST_CASE_FIXTURE(Two, "reload: an address that is taken") {
    const server::Socket taken = server::listen_unix(folder / "busy.sock", 0600);
    config::Spec spec = load(wanted);
    spec.listen.push_back(spec.listen[0]);
    spec.listen[1].path = folder / "busy.sock";
    spec.listen[1].uri = "unix:" + spec.listen[1].path;
    CHECK(refusal(spec) == "listen");
    check_all_is_as_before();
}

TEST_CASE_FIXTURE(Two, "reload: what changes with it may refuse, and is told how it went") {
    Refusing companion;
    companion.refuses = true;
    CHECK(refusal(load(wanted), {}, &companion) == "companion");
    CHECK(companion.undone == 0);
    check_all_is_as_before();
    companion.refuses = false;
    Client client(socket, "one");
    config::Spec spec = load(wanted);
    for (auto& device : spec.devices) device.limits.read_only = true;
    CHECK(refusal(spec, {}, &companion) == "read-only");
    CHECK(companion.prepared == 1);
    CHECK(companion.undone == 1);
    running->apply(load(wanted), {}, &companion);
    CHECK(companion.committed == 1);
}

TEST_CASE_FIXTURE(Two,
                  "reload: a suspend that does not end in time is undone, I/O goes on ([O-7])") {
    const auto file = running->state()->store("a")->file();
    Client client(socket, "one");
    std::thread late;
    {
        // The store's threads wait here, so a write stays in flight.
        server::RangeGuards::Hold stuck(file->guards(), 0, 4096, true);
        stuck.lock();
        client.request(Command::write, 7, 0, 512, std::string(512, '1'));
        CHECK(within(std::chrono::seconds(2), [&] { return device("top1").stats.pending == 1; }));
        const auto began = std::chrono::steady_clock::now();
        CHECK(refusal(wanted, {.timeout = std::chrono::milliseconds(100)}) == "suspend-timeout");
        CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(5));
        CHECK(read("two") == std::string(512, '2'));
        CHECK(read("one", 1024) == std::string(512, '\0'));  // Beside what is stuck.
    }
    CHECK(client.reply() == std::pair<std::uint64_t, std::uint32_t>(7, 0));
    check_all_is_as_before();
    check_it_can_be_done();
}

TEST_CASE_FIXTURE(Two, "reload: it waits for a step taken by hand, and gives up in time") {
    const auto file = running->state()->store("a")->file();
    Client client(socket, "one");
    std::thread by_hand;
    {
        server::RangeGuards::Hold stuck(file->guards(), 0, 4096, true);
        stuck.lock();
        client.request(Command::write, 7, 0, 512, std::string(512, '1'));
        CHECK(within(std::chrono::seconds(2), [&] { return device("top1").stats.pending == 1; }));
        by_hand = std::thread([this] { running->suspend("low1", true); });
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        CHECK(refusal(wanted, {.timeout = std::chrono::milliseconds(100)}) == "suspend-timeout");
    }
    by_hand.join();
    CHECK(client.reply().second == 0);
    CHECK(device("low1").suspended);
    running->resume("low1", false);
    check_all_is_as_before();
}

TEST_CASE_FIXTURE(Two, "reload: one that waits ends when the server does") {
    const auto file = running->state()->store("a")->file();
    Client client(socket, "one");
    std::string slug;
    std::thread reloading;
    {
        server::RangeGuards::Hold stuck(file->guards(), 0, 4096, true);
        stuck.lock();
        client.request(Command::write, 7, 0, 512, std::string(512, '1'));
        CHECK(within(std::chrono::seconds(2), [&] { return device("top1").stats.pending == 1; }));
        reloading = std::thread([&] {
            try {
                running->apply(load(wanted), {.timeout = std::chrono::hours(1)});
            } catch (const ReloadError& error) {
                slug = error.slug;
            }
        });
        CHECK(within(std::chrono::seconds(5),
                     [&] { return running->ownership().stores().size() == 4; }));
        running->end_steps();
        reloading.join();
    }
    CHECK(slug == "stopping");
    CHECK(client.reply().second == 0);
}

TEST_CASE("reload: a start that fails leaves nothing behind") {
    const Folder folder;
    const std::string text =
        "version: 1\nstores:\n  a: { type: file, path: " + (folder / "a") +
        ", size: 1MiB, create: true }\n  b: { type: file, path: " + (folder / "b") +
        ", size: 1MiB, create: true }\n";
    config::Diagnostics found;
    const auto spec = config::load_text("t", text, found);
    REQUIRE(spec.has_value());
    std::filesystem::create_directory(folder / "b");
    CHECK_THROWS_AS(server::Running(*spec, 1, 1), server::StartError);
    CHECK_FALSE(std::filesystem::exists(folder / "a"));
}
