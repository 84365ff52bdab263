// What clients notice when the table file changes: user-experience 7, row by row, over real
// sockets.
#include "unit/served.h"

using server::ApplyOptions;
using server::nbd::Command;
using socket_client::Client;

namespace {

const std::string stores = R"(
stores:
  a: { type: file, path: @/a, size: 1MiB, create: true }
  b: { type: file, path: @/b, size: 2MiB, create: true }
  m: { type: memory, size: 1MiB }
)";

/// `disk` over a; `flaky` and `ram` beside it.
struct Three : Served {
    Three() : Served(text("a")) {}
    static std::string text(const std::string& below, const std::string& options = "",
                            const std::string& rest = "") {
        return stores + "devices:\n  disk: { " + options +
               " table: [ { length: 1MiB, target: linear, args: { device: " + below +
               " } } ] }\n"
               "  flaky: { table: [ { target: flakey, args: { device: m, up: 9s, down: 0s } } ] }\n"
               "  ram: { table: [ { target: linear, args: { device: m } } ] }\n"
               "exports: { disk: disk, flaky: flaky, ram: ram }\n" +
               rest;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Three, "reload: another table; its clients stay, other devices notice nothing") {
    Client on_disk(socket, "disk");
    Client on_flaky(socket, "flaky");
    CHECK(write("disk", 0, 'a'));
    CHECK(write("flaky", 0, 'm'));
    const auto flaky_table = running->state()->device("flaky")->mapped.live();
    const auto applied = apply(text("b"));
    REQUIRE(applied.changes.size() == 1);
    CHECK(applied.changes[0].name == "disk");
    CHECK(applied.generation == 2);
    CHECK(applied.pause < std::chrono::seconds(1));
    on_disk.request(Command::read, 7, 0, 512);
    CHECK(on_disk.reply() == std::pair<std::uint64_t, std::uint32_t>(7, 0));
    CHECK(on_disk.receive(512) == std::string(512, '\0'));
    CHECK(device("disk").event_number == 2);
    CHECK(device("flaky").event_number == 1);
    CHECK(running->state()->device("flaky")->mapped.live() == flaky_table);  // And its timers.
    CHECK(device("flaky").stats.ops[1].ios == 1);
    on_flaky.request(Command::read, 7, 0, 512);
    CHECK(on_flaky.reply().second == 0);
    apply(text("a"));
    CHECK(read("disk") == std::string(512, 'a'));
}

TEST_CASE_FIXTURE(Three, "reload: the same file again says so and does nothing") {
    CHECK(apply(text("a")).changes.empty());
    CHECK(running->generation() == 1);
    apply(text("b"));
    CHECK(running->plan(load(text("b"))).empty());
}

TEST_CASE_FIXTURE(Three, "reload: a device grows for those who connect after it") {
    Client old(socket, "disk");
    const std::string grown =
        text("b, offset: 0", "", "")
            .replace(text("b, offset: 0").find("length: 1MiB"), 12, "length: 2MiB");
    const auto applied = apply(grown);
    REQUIRE(applied.changes.size() == 1);
    CHECK(applied.changes[0].effect.find("when they connect again") != std::string::npos);
    CHECK(write("disk", 4095, 'x'));
    CHECK_FALSE(write("disk", 4096, 'x'));
    old.request(Command::write, 1, 0, 512, std::string(512, 'o'));
    CHECK(old.reply().second == 0);
    CHECK(running->exports()[0].size_bytes == 2 << 20);
}

TEST_CASE_FIXTURE(Three, "reload: a device shrinks only below nobody, or when told to") {
    const std::string small = text("a").replace(text("a").find("length: 1MiB"), 12, "length: 8KiB");
    {
        Client client(socket, "disk");
        CHECK(refusal(small) == "shrink");
        CHECK(apply(small, {.allow_shrink = true}).changes.size() == 1);
        client.request(Command::read, 1, 8192, 512);
        CHECK(client.reply().second == 22);
        client.request(Command::read, 1, 0, 512);
        CHECK(client.reply().second == 0);
    }
    apply(text("a"));
    REQUIRE(
        within(std::chrono::seconds(2), [&] { return running->exports()[0].connections == 0; }));
    CHECK(apply(small).changes.size() == 1);
}

TEST_CASE_FIXTURE(Three, "reload: exports come and go; clients of one that goes may finish") {
    Client leaving(socket, "ram");
    Client staying(socket, "disk");
    std::string changed = text("a", "", "reload: { drain: 300ms }\n");
    changed.replace(changed.find("ram: ram"), 8, "more: ram");
    apply(changed);
    CHECK(read("more") == std::string(512, '\0'));
    CHECK_THROWS(Client(socket, "ram"));
    leaving.request(Command::read, 1, 0, 512);
    CHECK(leaving.reply().second == 0);
    leaving.receive(512);
    CHECK(leaving.at_end());
    staying.request(Command::read, 1, 0, 512);
    CHECK(staying.reply().second == 0);
}

TEST_CASE_FIXTURE(Three, "reload: an export that is back before its time is up keeps its clients") {
    Client client(socket, "ram");
    std::string changed = text("a", "", "reload: { drain: 200ms }\n");
    changed.replace(changed.find(", ram: ram"), 10, "");
    apply(changed);
    apply(text("a", "", "reload: { drain: 200ms }\n"));
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    client.request(Command::read, 1, 0, 512);
    CHECK(client.reply().second == 0);
}

TEST_CASE_FIXTURE(Three, "reload: memory is not thrown away unless told to") {
    std::string larger = text("a");
    larger.replace(larger.find("memory, size: 1MiB"), 18, "memory, size: 2MiB");
    CHECK(write("ram", 5, 'm'));
    CHECK(refusal(larger) == "data-loss");
    CHECK(read("ram", 5) == std::string(512, 'm'));
    apply(larger, {.allow_data_loss = true});
    CHECK(read("ram", 5) == std::string(512, '\0'));
    CHECK(device("ram").size_sectors == 4096);
}

TEST_CASE_FIXTURE(Three, "reload: a file goes on under another name or path, open ([O-11])") {
    CHECK(write("disk", 3, 'a'));
    const auto file = running->state()->store("a")->file();
    std::filesystem::create_symlink(folder / "a", folder / "link");
    std::string renamed = text("z");
    renamed.replace(renamed.find("  a:"), 4, "  z:");
    renamed.replace(renamed.find("@/a,"), 4, "@/link,");
    apply(renamed);
    CHECK(running->state()->store("z")->file() == file);
    CHECK(read("disk", 3) == std::string(512, 'a'));
    // The old store closes by itself, though no client has flushed [O-4].
    CHECK(
        within(std::chrono::seconds(2), [&] { return running->ownership().stores().size() == 3; }));
}

TEST_CASE_FIXTURE(Three, "reload: a renamed device is another one; old clients may finish") {
    Client client(socket, "ram");
    std::string renamed = text("a", "", "reload: { drain: 300ms }\n");
    renamed.replace(renamed.find("  ram:"), 6, "  new:");
    renamed.replace(renamed.find("ram: ram"), 8, "ram: new");
    apply(renamed);
    client.request(Command::write, 1, 0, 512, std::string(512, 'o'));
    CHECK(client.reply().second == 0);
    CHECK(read("ram") == std::string(512, 'o'));
    CHECK(client.at_end());
    CHECK(within(std::chrono::seconds(2),
                 [&] { return running->ownership().devices().size() == 3; }));
}

TEST_CASE_FIXTURE(Three,
                  "reload: what a client was promised is kept or the reload refused ([O-10])") {
    Client client(socket, "disk");
    CHECK(refusal(text("a", "read_only: true,")) == "read-only");
    std::string no_trim = text("a");
    no_trim.replace(no_trim.find("target: linear, args: { device: a }"), 35,
                    "target: unstriped, args: { stripes: 1, chunk: 4KiB, stripe: 0, device: a }");
    CHECK(refusal(no_trim) == "no-trim");
    // Blocks of 512 bytes go on as before for who was told of them; others hear of 4096.
    apply(text("a", "block_size: 4096,"));
    client.request(Command::write, 1, 512, 512, std::string(512, 'x'));
    CHECK(client.reply().second == 0);
    // An export that turns read-only does so for those who come.
    std::string export_only = text("a", "block_size: 4096,");
    export_only.replace(export_only.find("disk: disk"), 10,
                        "disk: { device: disk, read_only: true }");
    apply(export_only);
    client.request(Command::write, 1, 512, 512, std::string(512, 'y'));
    CHECK(client.reply().second == 0);
    CHECK_FALSE(write("disk", 0, 'x'));
}

TEST_CASE_FIXTURE(Three, "reload: options of a device change without a pause") {
    Client client(socket, "disk");
    const auto applied = apply(text("a", "retry: { attempts: 3 },"));
    CHECK(applied.pause == std::chrono::nanoseconds(0));
    CHECK(device("disk").event_number == 1);
    CHECK(running->state()->device("disk")->mapped.options().retry.attempts == 3);
}

TEST_CASE_FIXTURE(Three, "reload: a new address opens first, connections of an old one stay") {
    Client client(socket, "disk");
    const std::string other = folder / "other.sock";
    apply(text("a", "", "listen: [ { uri: \"unix:@/other.sock\", exports: [ ram ] } ]\n"));
    CHECK_THROWS(Client(socket, "disk"));
    CHECK_THROWS(Client(other, "disk"));
    Client there(other, "ram");
    client.request(Command::read, 1, 0, 512);
    CHECK(client.reply().second == 0);
    apply(text("a", "", "listen: [ \"unix:@/other.sock\" ]\n"));
    Client all(other, "disk");
    // One that is taken is refused, and the old ones stay.
    std::string busy = folder / "busy.sock";
    const server::Socket taken = server::listen_unix(busy, 0600);
    CHECK(refusal(text("b", "", "listen: [ \"unix:@/busy.sock\" ]\n")) == "listen");
    Client again(other, "disk");
}

TEST_CASE_FIXTURE(Three, "reload: what stands on a store with other bytes changes with it") {
    std::string other = text("a");
    other.replace(other.find("path: @/a"), 9, "path: @/c");
    CHECK(write("disk", 0, 'a'));
    const auto applied = apply(other);
    CHECK(applied.changes.size() == 2);
    CHECK(read("disk") == std::string(512, '\0'));
    CHECK(std::filesystem::file_size(folder / "a") == 1 << 20);
}

TEST_CASE_FIXTURE(Three, "reload: a device that somebody suspended stays suspended") {
    running->suspend("disk", true);
    apply(text("b"));
    CHECK(device("disk").suspended);
    Client client(socket, "disk");
    client.request(Command::read, 1, 0, 512);
    CHECK(within(std::chrono::seconds(2), [&] { return device("disk").stats.deferred == 1; }));
    running->resume("disk", false);
    CHECK(client.reply().second == 0);
}

TEST_CASE_FIXTURE(Three, "reload: what was loaded by hand is live, and the file takes it back") {
    running->load("disk", {config::TableText::Form::dm, "0 2048 linear b 100"});
    running->resume("disk", false);
    CHECK(running->generation() == 2);
    const config::Spec live = running->live_spec();
    const std::string yaml = config::yaml_text(live);
    CHECK(yaml.find("device: b, offset: 50KiB") != std::string::npos);
    config::Diagnostics found;
    const auto again = config::load_text("again", yaml, found);
    REQUIRE(again.has_value());
    CHECK(running->plan(*again).empty());
    CHECK(running->plan(load(text("a"))).size() == 1);
    apply(text("a"));
    CHECK(running->plan(load(text("a"))).empty());
}

TEST_CASE_FIXTURE(Three, "reload: a table that waits in its slot is not broken") {
    running->load("disk", {config::TableText::Form::dm, "0 2048 linear b 0"});
    std::string without = text("a");
    without.replace(without.find("  b:"), without.find("  m:") - without.find("  b:"), "");
    CHECK(refusal(without) == "inactive-table");
    running->clear("disk");
    apply(without);
    CHECK(running->stores().size() == 2);
}

TEST_CASE_FIXTURE(Three, "reload: a plan says how many clients wait") {
    Client one(socket, "disk");
    Client two(socket, "disk");
    const auto plan = running->plan(load(text("b")));
    REQUIRE(plan.size() == 1);
    CHECK(plan[0].effect == "swap while suspended; 2 clients wait");
}

TEST_CASE_FIXTURE(Three, "reload: it may be meant for one generation only") {
    CHECK(refusal(text("b"), {.if_generation = 5}) == "stale");
    CHECK(apply(text("b"), {.if_generation = 1}).generation == 2);
}
