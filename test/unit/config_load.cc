#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "config/load.h"
#include "unit/slow_build.h"

using namespace config;
namespace fs = std::filesystem;

namespace {

struct Loaded {
    Diagnostics found;
    std::optional<Spec> spec;

    explicit Loaded(const std::string& text, const Surroundings& around = {})
        : spec(load_text("t.yaml", "version: 1\n" + text, found, around)) {
        INFO(found.human());
    }
    std::string slugs() const {
        std::string text;
        for (const Diagnostic& one : found.all()) {
            if (one.severity != Severity::note) text += one.slug + ' ';
        }
        return text;
    }
    std::string note() const { return found.all().empty() ? "" : found.all().back().message; }
};

const std::string store_a = "stores: { a: { type: memory, size: 1MiB } }\n";

/// A folder of its own that goes away with the test.
struct Folder {
    fs::path path;

    Folder() {
        std::string name = (fs::temp_directory_path() / "dmnbd-config-XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~Folder() { fs::remove_all(path); }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path / name, std::ios::binary) << text;
        return (path / name).string();
    }
};

/// Every key once, none with its default.
const std::string everything = R"(
seed: 42
shards: 2
data_roots: [/data]
x-anything: [1, { goes: here }]
defaults: { block_size: 4096, retry: none }
stores:
  a: { type: memory, size: 1MiB }
  on:
    { type: file, path: "${P}", size: 8s, create: true, discard: ignore, engine: threads,
      direct: false }
devices:
  d:
    read_only: true
    uuid: my-own
    block_size: 512
    write_cache: none
    retry: { errors: [EIO, disconnect], attempts: 3, delay: 1s, backoff: 1.5, deadline: 1m,
             queue_bytes: 1MiB }
    table: [ { target: linear, args: { device: a } } ]
  e: { table: [ { target: linear, args: { device: on } } ] }
exports:
  "": d
  e: { device: e, read_only: true, description: "all of it", max_connections: 3,
       allow: [10.0.0.0/8], tls: no }
listen: [ "tcp://[::1]:10809", "unix:/run/x.sock", { uri: "tcp://localhost:1", exports: [e] } ]
control: { unix: /run/c.sock, mode: 0660, http: "127.0.0.1:10810" }
reload: { watch: false, drain: 1s, allow_data_loss: true }
log: { level: debug, format: json }
)";

Loaded load_everything() {
    return Loaded(everything, {[](const std::string& name) {
                      return std::optional<std::string>("/tmp/no-such-" + name);
                  }});
}

}  // namespace

TEST_CASE("each key of stores and devices arrives where it belongs") {
    const Loaded file = load_everything();
    REQUIRE(file.spec);
    const Spec& spec = *file.spec;
    REQUIRE(spec.stores.size() == 2);
    const StoreSpec& on = spec.stores[1];
    CHECK(on.name == "on");
    CHECK(on.path == "/tmp/no-such-P");
    CHECK(on.size_sectors == 8);
    CHECK(on.create);
    CHECK(on.discard == StoreSpec::Discard::ignore);
    CHECK(on.engine == StoreSpec::Engine::threads);
    const DeviceSpec& d = *spec.find_device("d");
    CHECK(d.read_only);
    CHECK(d.uuid == "my-own");
    CHECK(d.block_bytes == 512);
    CHECK(d.size_sectors == 2048);
    CHECK(d.below == std::vector<std::string>{"a"});
    CHECK(d.retry.errors.has(dmcore::Status::disconnected));
    CHECK_FALSE(d.retry.errors.has(dmcore::Status::no_space));
    CHECK(d.retry.attempts == 3);
    CHECK(d.retry.delay == std::chrono::seconds(1));
    CHECK(d.retry.max_delay == std::chrono::seconds(1));  // Raised with the delay.
    CHECK(d.retry.backoff == 1.5);
    CHECK(d.retry.deadline == std::chrono::minutes(1));
    CHECK(d.retry.queue_bytes == 1U << 20);
    CHECK(spec.find_device("e")->block_bytes == 4096);
    CHECK(spec.find_device("e")->retry == dmcore::no_retry());
}

TEST_CASE("each key of the server arrives where it belongs") {
    const Loaded file = load_everything();
    REQUIRE(file.spec);
    const Spec& spec = *file.spec;
    CHECK(spec.seed == 42);
    CHECK(spec.shards == 2);
    CHECK(spec.data_roots == std::vector<std::string>{"/data"});
    REQUIRE(spec.exports.size() == 2);
    CHECK(spec.exports[0].name.empty());
    CHECK(spec.exports[1].read_only);
    CHECK(spec.exports[1].description == "all of it");
    CHECK(spec.exports[1].max_connections == 3);
    CHECK(spec.exports[1].allow.size() == 1);
    REQUIRE(spec.listen.size() == 3);
    CHECK(spec.listen[0].host == "::1");
    CHECK(spec.listen[0].port == 10809);
    CHECK(spec.listen[1].path == "/run/x.sock");
    CHECK(spec.listen[2].exports == std::vector<std::string>{"e"});
    CHECK(spec.control.unix_path == "/run/c.sock");
    CHECK(spec.control.mode == 0660);
    CHECK(spec.control.http_host == "127.0.0.1");
    CHECK(spec.control.http_port == 10810);
    CHECK_FALSE(spec.reload.watch);
    CHECK(spec.reload.drain == std::chrono::seconds(1));
    CHECK(spec.reload.allow_data_loss);
    CHECK(spec.log.level == LogSpec::Level::debug);
    CHECK(spec.log.format == LogSpec::Format::json);
}

TEST_CASE("retry has three meanings: absent, empty and none") {
    const std::string table = "table: [ { target: linear, args: { device: a } } ] }\n";
    const Loaded file(store_a + "devices:\n  absent: { " + table + "  empty: { retry: {}, " +
                      table + "  none: { retry: none, " + table);
    REQUIRE(file.spec);
    CHECK(file.spec->find_device("absent")->retry == dmcore::transient_retry());
    CHECK_FALSE(file.spec->find_device("absent")->retry_position.written());
    CHECK(file.spec->find_device("empty")->retry == dmcore::default_retry());
    CHECK(file.spec->find_device("none")->retry == dmcore::no_retry());
}

TEST_CASE("specs compare by what they say, not by where") {
    const std::string device =
        "devices: { d: { table: [ { target: linear, args: { device: a } } ] } }\n";
    const Loaded one(store_a + device);
    const Loaded two("# a comment\n\n" + device + store_a);
    REQUIRE(one.spec);
    REQUIRE(two.spec);
    CHECK(one.spec->stores == two.spec->stores);
    CHECK(one.spec->devices == two.spec->devices);
    const Loaded other(
        store_a +
        "devices: { d: { table: [ { length: 8, target: linear, args: { device: a } } ] } }");
    CHECK(other.spec->devices != one.spec->devices);
}

TEST_CASE("devices are built from below") {
    const Loaded file(store_a +
                      "devices:\n"
                      "  top: { table: [ { target: linear, args: { device: middle } } ] }\n"
                      "  middle: { table: [ { target: linear, args: { device: low } } ] }\n"
                      "  low: { table: [ { target: linear, args: { device: a } } ] }\n");
    REQUIRE(file.spec);
    CHECK(file.spec->build_order == std::vector<std::size_t>{2, 1, 0});
    CHECK(file.spec->devices[0].size_sectors == 2048);
}

TEST_CASE("merged and included parts make one table") {
    const Folder folder;
    fs::create_directory(folder.path / "parts");
    folder.write("parts/more.yaml",
                 "stores: { b: { type: memory, size: 1MiB } }\nexports: { b: d }\n");
    const std::string path =
        folder.write("main.yaml",
                     "version: 1\ninclude: [parts/more.yaml]\nx-leg: &leg { target: linear }\n"
                     "devices: { d: { table: [ { <<: *leg, args: { device: b } } ] } }\n");
    Diagnostics found;
    const auto spec = load_file(path, found);
    INFO(found.human());
    REQUIRE(spec);
    CHECK(spec->sources.size() == 2);
    CHECK(spec->exports.size() == 1);
    CHECK(spec->find_device("d")->rows[0].words == std::vector<std::string>{"b", "0"});
}

TEST_CASE("files that exist are measured, never grown or shrunk") {
    const Folder folder;
    const std::string image = folder.write("disk.img", std::string(10'000, 'x'));
    const auto store = [&](const std::string& keys) {
        return Loaded("stores: { a: { type: file, path: " + image + keys + " } }\n");
    };
    CHECK(store("").spec->stores[0].size_sectors == 19);  // Whole sectors only.
    CHECK(store(", size: 16s").spec->stores[0].size_sectors == 16);
    CHECK(store(", size: 20s").slugs() == "file-too-small ");
    CHECK(store(", size: 20s, create: true").slugs() == "file-too-small ");
    CHECK(fs::file_size(image) == 10'000);
    const std::string other = (folder.path / "new.img").string();
    CHECK(Loaded("stores: { a: { type: file, path: " + other + ", size: 1MiB, create: true } }")
              .spec);
    CHECK_FALSE(fs::exists(other));

    fs::create_hard_link(image, other);
    CHECK(Loaded("stores:\n  a: { type: file, path: " + image +
                 " }\n  b: { type: file, path: " + other + " }\n")
              .slugs() == "file-used-twice ");
}

TEST_CASE("a retry over injected errors is worth a warning") {
    const auto over = [](const std::string& features, const std::string& retry) {
        return Loaded(store_a +
                      "devices:\n"
                      "  flaky: { table: [ { target: flakey, args: { device: a, up: 1s, down: 1s, "
                      "features: " +
                      features +
                      " } } ] }\n"
                      "  big: { " +
                      retry + " table: [ { target: linear, args: { device: flaky } } ] }\n");
    };
    CHECK(over("[]", "retry: {},").slugs() == "hidden-fault ");
    CHECK(over("[error_reads]", "retry: {},").slugs() == "hidden-fault ");
    CHECK(over("[drop_writes]", "retry: {},").slugs().empty());
    CHECK(over("[]", "retry: { errors: [ETIMEDOUT] },").slugs().empty());
    CHECK(over("[]", "").slugs().empty());
    const auto dust = [](const std::string& words) {
        return Loaded(store_a + "devices:\n  worn: { retry: {}, table: \"0 8 dust a 0 512" + words +
                      "\" }\n")
            .slugs();
    };
    CHECK(dust(" bad_blocks 1-7 enabled") == "hidden-fault ");
    CHECK(dust(" bad_blocks 1-7").empty());
    CHECK(dust(" enabled").empty());
}

TEST_CASE("the longest wait of an export adds up what is below it") {
    const auto wait = [](const std::string& low, const std::string& top) {
        return Loaded(store_a +
                      "devices:\n"
                      "  low: { retry: " +
                      low +
                      ", table: [ { target: linear, args: { device: a } } ] }\n"
                      "  top: { retry: " +
                      top +
                      ", table: [ { target: linear, args: { device: low } } ] }\n"
                      "exports: { e: top }\n")
            .note();
    };
    CHECK(wait("none", "none").empty());
    CHECK(wait("{}", "none") == "export 'e' may take up to 10s to answer");
    CHECK(wait("{}", "{}") == "export 'e' may take up to 20s to answer");
    CHECK(wait("{ deadline: 1m }", "{ deadline: 30s }") ==
          "export 'e' may take up to 1m30s to answer");
    // At once, then after 20, 40 and 80 ms.
    CHECK(wait("none", "{ attempts: 4 }") == "export 'e' may take up to 140ms to answer");
    CHECK(wait("none", "{ attempts: 1 }").empty());
    // What delay holds comes with each attempt.
    const auto slow = [](const std::string& retry, const std::string& words) {
        return Loaded(store_a + "devices:\n  slow: { retry: " + retry + ", table: \"0 8 delay " +
                      words + "\" }\nexports: { e: slow }\n")
            .note();
    };
    CHECK(slow("none", "a 0 0").empty());
    CHECK(slow("none", "a 0 10 a 0 70 a 0 5") == "export 'e' may take up to 70ms to answer");
    CHECK(slow("{ attempts: 2, delay: 20ms }", "a 0 100") ==
          "export 'e' may take up to 320ms to answer");
}

TEST_CASE("every example loads and checks clean") {
    // They are what a newcomer copies from.
    const Folder folder;
    Surroundings around;
    around.variable = [&](const std::string& name) -> std::optional<std::string> {
        return name == "DATA_DIR" ? std::optional(folder.path.string()) : std::nullopt;
    };
    std::size_t count = 0;
    for (const auto& entry :
         fs::directory_iterator(fs::path(DMNBD_SOURCE_DIR) / "config/examples")) {
        if (entry.path().extension() != ".yaml") continue;
        CAPTURE(entry.path().filename().string());
        Diagnostics found;
        const auto spec = load_file(entry.path().string(), found, around);
        INFO(found.human());
        CHECK(spec);
        // Hiding faults is the point of one of them.
        CHECK(found.warnings() == (entry.path().filename() == "retry.yaml" ? 1 : 0));
        if (spec) CHECK_FALSE(spec->exports.empty());
        ++count;
    }
    CHECK(count >= 9);
}

TEST_CASE("a hundred thousand rows load at once") {
    // Tables of real volume managers are long; dm itself takes a million rows.
    std::string text = store_a + "devices:\n  d:\n    table: |\n";
    for (int i = 0; i < 100'000; ++i) {
        text += "      " + std::to_string(i * 8) + " 8 linear a " + std::to_string(i % 200) + "\n";
    }
    const double started = cpu_seconds();
    const Loaded file(text);
    CHECK(cpu_seconds() - started < 10 * slow_build_factor);
    REQUIRE(file.spec);
    CHECK(file.spec->devices[0].rows.size() == 100'000);
    CHECK(file.spec->devices[0].size_sectors == 800'000);
}

TEST_CASE("long and strange stacks end with a message") {
    // Abuse case 39: each would be a deep recursion or a sum past 2^64 somewhere. A device can't
    // stand on itself, however far down [T-7].
    std::string chain = store_a + "devices:\n";
    for (int i = 0; i < 10'000; ++i) {
        const std::string below = i == 9'999 ? "d0" : "d" + std::to_string(i + 1);
        chain += "  d" + std::to_string(i) + ": { table: \"0 8 linear " + below + " 0\" }\n";
    }
    const Loaded cycle(chain);
    CHECK(cycle.slugs() == "cycle ");
    CHECK(cycle.found.all()[0].message.size() < 200);
    CHECK(Loaded(store_a + "devices: { d: { table: \"0 18446744073709551615 linear a "
                           "18446744073709551615\" } }")
              .slugs() == "too-long ");
    CHECK(Loaded(store_a + "devices: { d: { table: \"0 8 linear a 18446744073709551615\" } }")
              .slugs() == "past-end ");
}

TEST_CASE("a file that is no file, or too large, is refused by name") {
    const Folder folder;
    Diagnostics found;
    CHECK_FALSE(load_file((folder.path / "none.yaml").string(), found));
    CHECK_FALSE(load_file(folder.path.string(), found));
    const std::string huge = folder.write("huge.yaml", "");
    fs::resize_file(huge, 1ULL << 30);
    CHECK_FALSE(load_file(huge, found));
    REQUIRE(found.errors() == 3);
    CHECK(found.all()[0].slug == "no-such-file");
    CHECK(found.all()[1].slug == "no-such-file");
    CHECK(found.all()[2].slug == "too-large");
}
