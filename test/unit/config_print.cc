// Why: what is printed for people to save must mean the same when it is loaded again.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/load.h"
#include "config/named.h"
#include "config/print.h"
#include "dmcore/registry.h"

using namespace config;

namespace {

Spec load(const std::string& text) {
    Diagnostics found;
    Surroundings around;
    around.variable = [](const std::string&) { return std::nullopt; };
    auto spec = load_text("t.yaml", text, found, around);
    INFO(text);
    INFO(found.human());
    REQUIRE(spec.has_value());
    return std::move(*spec);
}

/// All but where it was written.
void check_same(const Spec& a, const Spec& b) {
    CHECK(a.seed == b.seed);
    CHECK(a.shards == b.shards);
    CHECK(a.data_roots == b.data_roots);
    REQUIRE(a.stores.size() == b.stores.size());
    for (std::size_t i = 0; i < a.stores.size(); ++i) {
        CHECK(a.stores[i].name == b.stores[i].name);
        CHECK(a.stores[i].type == b.stores[i].type);
        CHECK(a.stores[i].size_sectors == b.stores[i].size_sectors);
        CHECK(a.stores[i].path == b.stores[i].path);
        CHECK(a.stores[i].create == b.stores[i].create);
        CHECK(a.stores[i].discard == b.stores[i].discard);
        CHECK(a.stores[i].engine == b.stores[i].engine);
    }
    REQUIRE(a.devices.size() == b.devices.size());
    for (std::size_t i = 0; i < a.devices.size(); ++i) {
        CHECK(a.devices[i].rows == b.devices[i].rows);
        CHECK(a.devices[i].retry == b.devices[i].retry);
        CHECK(a.devices[i].read_only == b.devices[i].read_only);
        CHECK(a.devices[i].block_bytes == b.devices[i].block_bytes);
        CHECK(a.devices[i].uuid == b.devices[i].uuid);
    }
    REQUIRE(a.exports.size() == b.exports.size());
    for (std::size_t i = 0; i < a.exports.size(); ++i) {
        CHECK(a.exports[i].name == b.exports[i].name);
        CHECK(a.exports[i].description == b.exports[i].description);
        CHECK(a.exports[i].allow == b.exports[i].allow);
        CHECK(a.exports[i].max_connections == b.exports[i].max_connections);
    }
    REQUIRE(a.listen.size() == b.listen.size());
    CHECK(a.control.http_port == b.control.http_port);
    CHECK(a.control.mode == b.control.mode);
    CHECK(a.reload == b.reload);
    CHECK(a.log == b.log);
}

std::string row_text(const std::string& target, const std::string& words) {
    std::istringstream stream(words);
    dmcore::RowSpec row{0, 2048, target, {}};
    for (std::string word; stream >> word;) row.words.push_back(word);
    return segments_text({row}, "");
}

}  // namespace

TEST_CASE("everything that a table file can say comes back") {
    const Spec spec = load(R"(version: 1
seed: 7
shards: 2
data_roots: [ "/srv/$$data", "a \"b\"\\" ]
stores:
  ram: { type: memory, size: 4MiB }
  disk: { type: file, path: "no such $$ file", size: 1000s, create: true, discard: ignore,
          engine: threads }
  raw: { type: file, path: "no such raw file", size: 1000s, create: true, engine: io_uring,
         direct: true }
  far: { type: nbd, uri: "nbd://10.0.0.7:10809/vol1", size: 1GiB, connections: 4, reconnect: 1m,
         trust_restart: true, timeout: 1500ms }
  near: { type: nbd, uri: "nbd+unix:///?socket=/tmp/s", size: 1GiB }
devices:
  d:
    retry: { errors: [EIO, disconnect], attempts: 5, delay: 15ms, backoff: 1.5, max_delay: 3s,
             deadline: 1m30s, queue_bytes: 1MiB }
    read_only: true
    block_size: 4096
    uuid: "x: {y} #"
    table: [ { length: 1MiB, target: linear, args: { device: ram, offset: 1MiB } } ]
  e: { retry: none, table: [ { target: flakey, length: 512KiB,
       args: { device: d, up: 500ms, down: 2s, features: [ error_reads,
         { corrupt_bio_byte: [32, w, 1, 0] }, { random_read_corrupt: 0.1 } ] } } ] }
  f: { retry: {}, table: "0 8 zero" }
exports:
  "": { device: d, description: "all \"of\" it", max_connections: 3,
        allow: [10.0.0.0/8, "fd00::/8"] }
  "${x:-odd: name}": { device: e, read_only: true }
listen: [ "tcp://127.0.0.1:0", { uri: "unix:/tmp/x.sock", exports: [ "" ] } ]
control: { unix: /tmp/c.sock, mode: "0660", http: "[::1]:0", http_write: true, token_file: secret }
reload: { watch: false, drain: 3s, allow_data_loss: true }
log: { level: debug, format: json }
)");
    const std::string text = yaml_text(spec);
    check_same(load(text), spec);
    CHECK(yaml_text(load(text)) == text);
}

TEST_CASE("every example comes back") {
    int examples = 0;
    for (const auto& file :
         std::filesystem::directory_iterator(DMNBD_SOURCE_DIR "/config/examples")) {
        if (file.path().extension() != ".yaml") continue;
        std::stringstream text;
        text << std::ifstream(file.path()).rdbuf();
        const Spec spec = load(text.str());
        check_same(load(yaml_text(spec)), spec);
        ++examples;
    }
    CHECK(examples >= 7);
}

TEST_CASE("what random tables have shown to be printed wrong comes back") {
    // Each once loaded as something else, or not at all.
    std::size_t loaded = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(DMNBD_SOURCE_DIR "/test/fuzz/findings/table_file")) {
        std::ifstream file(entry.path());
        std::stringstream text;
        text << file.rdbuf();
        CAPTURE(entry.path().string());
        Diagnostics found;
        Surroundings around;
        around.variable = [](const std::string&) { return std::nullopt; };
        const auto spec = load_text("t.yaml", text.str(), found, around);
        if (!spec.has_value()) continue;
        ++loaded;
        const std::string printed = yaml_text(*spec);
        const Spec again = load(printed);
        check_same(again, *spec);
        CHECK(yaml_text(again) == printed);
    }
    CHECK(loaded >= 6);
}

TEST_CASE("words become names, unless only words can say it") {
    CHECK(row_text("linear", "a 2048") ==
          "- { length: 1MiB, target: linear, args: { device: a, offset: 1MiB } }\n");
    CHECK(row_text("linear", "a 0") == "- { length: 1MiB, target: linear, args: { device: a } }\n");
    CHECK(row_text("linear", "a 007").find("args: [\"a\", \"007\"]") != std::string::npos);
    CHECK(row_text("striped", "2 128 a 0 b 256") ==
          "- { length: 1MiB, target: striped, args: { chunk: 64KiB, devices: [a, { device: b, "
          "offset: 128KiB }] } }\n");
    CHECK(row_text("flakey", "a 0 500ms 1 3 drop_writes random_read_corrupt 123")
              .find("up: 500ms, down: 1s, features: [drop_writes, { random_read_corrupt: "
                    "0.0000123% }]") != std::string::npos);
    CHECK(row_text("flakey", "a 0 9 1 1 drop_writes ignored").find("args: [\"a\"") !=
          std::string::npos);
    CHECK(row_text("error", "a 5").find("args: [\"a\", \"5\"]") != std::string::npos);
    CHECK(row_text("zero", "") == "- { length: 1MiB, target: zero }\n");
}
