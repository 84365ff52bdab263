#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "config/diff.h"
#include "config/load.h"
#include "config/print.h"
#include "unit/folder.h"

using namespace config;

namespace {

/// A table, and files beside it: `@` stands for their folder.
struct Tables {
    Folder folder;
    Surroundings around;
    Diagnostics found;

    Tables() {
        for (const char* name : {"cert", "key", "ca", "keys"}) write(name, name);
    }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(folder / name) << text;
    }
    std::optional<Spec> load(std::string text) {
        found = {};
        for (std::size_t at; (at = text.find('@')) != std::string::npos;) {
            text.replace(at, 1, folder.path.string());
        }
        return load_text("table", text, found, around);
    }
    Spec good(const std::string& text) {
        auto spec = load(text);
        INFO(found.human());
        REQUIRE(spec.has_value());
        return std::move(*spec);
    }
    /// Slugs of all that is wrong.
    std::string wrong(const std::string& text) {
        CHECK_FALSE(load(text).has_value());
        std::string slugs;
        for (const Diagnostic& one : found.all()) slugs += (slugs.empty() ? "" : " ") + one.slug;
        return slugs;
    }
    std::string plan(const std::string& from, const std::string& to) {
        const Spec live = good(from);
        return plan_text(diff(live, good(to)));
    }
};

const std::string base = R"(version: 1
stores: { ram: { type: memory, size: 1MiB } }
devices: { disk: { table: [ { target: linear, args: { device: ram } } ] } }
)";
const std::string with_tls = base + R"(exports: { "": disk, vault: { device: disk, tls: require } }
listen: [ { uri: "tcp://127.0.0.1:1", tls: "require" }, { uri: "unix:/x", tls: yes } ]
tls: { cert: "@/cert", key: "@/key", ca: "@/ca", verify_peer: true, psk_file: "@/keys" }
)";

}  // namespace

TEST_CASE("the keys of tls are read, printed and read again") {
    Tables tables;
    const Spec spec = tables.good(with_tls);
    CHECK(spec.tls.given());
    CHECK(spec.tls.cert_path == tables.folder / "cert");
    CHECK(spec.tls.psk_path == tables.folder / "keys");
    CHECK(spec.tls.verify_peer);
    CHECK(spec.exports[0].tls == Tls::yes);
    CHECK(spec.exports[1].tls == Tls::require);
    CHECK(spec.listen[0].tls == Tls::require);
    CHECK(spec.listen[1].tls == Tls::yes);
    const Spec again = tables.good(yaml_text(spec));
    CHECK(diff(spec, again).empty());
    CHECK(again.tls == spec.tls);
    CHECK(yaml_text(again) == yaml_text(spec));
}

TEST_CASE("without credentials TLS can't be asked for, and saying no to it is no error") {
    Tables tables;
    const std::string exports = base + "exports: { \"\": { device: disk, tls: ";
    CHECK(tables.wrong(exports + "require } }") == "tls-missing");
    CHECK(tables.wrong(exports + "yes } }") == "tls-missing");
    CHECK(tables.wrong(base + "listen: [ { uri: \"unix:/x\", tls: yes } ]") == "tls-missing");
    CHECK(tables.wrong(exports + "maybe } }") == "bad-choice");
    CHECK_FALSE(tables.good(exports + "no } }").tls.given());
    tables.good(base + "listen: [ { uri: \"unix:/x\", tls: no } ]");
}

TEST_CASE("credentials are whole, and in files that can be read") {
    Tables tables;
    CHECK(tables.wrong(base + "tls: {}") == "missing-key");
    CHECK(tables.wrong(base + "tls: { cert: \"@/cert\" }") == "missing-key");
    CHECK(tables.wrong(base + "tls: { key: \"@/key\" }") == "missing-key");
    CHECK(tables.wrong(base + "tls: { ca: \"@/ca\" }") == "missing-key");
    CHECK(tables.wrong(base + "tls: { psk_file: \"@/keys\", verify_peer: true }") == "missing-key");
    CHECK(tables.wrong(base + "tls: { psk_file: \"@/none\" }") == "no-such-file");
    CHECK(tables.wrong(base + "tls: { psk_file: \"@\" }") == "bad-tls-file");
    CHECK(tables.wrong(base + "tls: { psk_file: /dev/zero }") == "bad-tls-file");
    tables.write("keys", "");
    CHECK(tables.wrong(base + "tls: { psk_file: \"@/keys\" }") == "bad-tls-file");
    CHECK(tables.wrong(base + "tls: { cert: \"@/a\", key: \"@/b\", ca: \"@/c\" }") ==
          "no-such-file no-such-file no-such-file");
    CHECK(tables.wrong(base + "tls: { psk_file: \"\" }") == "bad-path");
}

TEST_CASE("what the files hold is judged only once they can be read, at the key that names them") {
    Tables tables;
    int asked = 0;
    tables.around.tls = [&](const TlsSpec& tls) -> std::optional<TlsTrouble> {
        ++asked;
        return TlsTrouble{tls.key_position, {"bad-tls-file", "it does not fit"}};
    };
    CHECK(tables.wrong(with_tls) == "bad-tls-file");
    const Diagnostic& one = tables.found.all()[0];
    CHECK(one.line == 6);
    CHECK(one.excerpt.substr(one.column - 1, one.length) == '"' + (tables.folder / "key") + '"');
    CHECK(asked == 1);
    CHECK(tables.wrong(base + "tls: { psk_file: \"@/none\" }") == "no-such-file");
    tables.good(base);
    CHECK(asked == 1);
}

TEST_CASE("files that a table may not name are not read") {
    Tables tables;
    std::map<std::string, std::string> read;
    tables.around.on_read = [&](const std::string& path, const std::string& text) {
        read[path] = text;
    };
    tables.good(with_tls);
    CHECK(read.size() == 4);
    CHECK(read.at(tables.folder / "key") == "key");
    read.clear();
    tables.around.forbids = [](const std::string&) { return std::optional<std::string>("is not"); };
    CHECK(tables.wrong(with_tls) == "forbidden forbidden forbidden forbidden");
    CHECK(read.empty());
}

TEST_CASE("a plan tells of other credentials, also where only the files have changed") {
    Tables tables;
    CHECK(tables.plan(with_tls, with_tls) == "no changes\n");
    const Spec live = tables.good(with_tls);
    tables.write("cert", "another");
    const auto changes = diff(live, tables.good(with_tls));
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].what == "tls");
    CHECK(changes[0].summary == "other content of its files");
    CHECK(changes[0].effect == "for new connections");

    std::string other = with_tls;
    other.replace(other.find("tls: require"), 12, "tls: no");
    other.replace(other.find("tls: \"require\""), 14, "tls: no");
    other.replace(other.find("verify_peer: true"), 17, "verify_peer: false");
    const std::string plan = tables.plan(with_tls, other);
    CHECK(plan.find("export vault") != std::string::npos);
    CHECK(plan.find("tls: require -> no") != std::string::npos);
    CHECK(plan.find("tcp://127.0.0.1:1  tls: require -> no") != std::string::npos);
    CHECK(plan.find("verify_peer: true -> false") != std::string::npos);
    CHECK(plan.find("3 to change") != std::string::npos);
}

TEST_CASE("an export that no address offers as it wants to be is warned of") {
    Tables tables;
    std::string text = with_tls;
    text.replace(text.find("tls: yes"), 8, "tls: require");
    text.replace(text.find("tls: require"), 12, "tls: no");
    CHECK(tables.good(text).exports[1].tls == Tls::no);
    REQUIRE(tables.found.warnings() == 1);
    CHECK(tables.found.all()[0].slug == "unreachable-export");
}

TEST_CASE("a store of type nbd says by a word or a map how it speaks TLS") {
    Tables tables;
    const auto store = [&](const std::string& uri, const std::string& tls) {
        return "version: 1\nstores: { far: { type: nbd, size: 1MiB, uri: \"" + uri +
               "\", tls: " + tls + " } }\n";
    };
    const auto read = [&](const std::string& tls) {
        const Spec spec = tables.good(store("nbd://h", tls));
        const Spec again = tables.good(yaml_text(spec));
        CHECK(again.stores[0].tls == spec.stores[0].tls);
        CHECK(diff(spec, again).empty());
        return spec.stores[0].tls;
    };
    CHECK(read("require") == RemoteTls{.use = Tls::require});
    CHECK(read("no") == RemoteTls{.use = Tls::no});
    const RemoteTls map = read("{ use: yes, psk_file: \"@/keys\", username: bob }");
    CHECK(map.use == Tls::yes);
    CHECK(map.psk_path == tables.folder / "keys");
    CHECK(map.username == "bob");
    CHECK(map.verify_peer);
    tables.write("ca-cert.pem", "ca");
    CHECK(read("{ certificates: \"@\", verify_peer: false }").use == Tls::require);
    CHECK(tables.wrong(store("nbd://h", "maybe")) == "bad-choice");
    CHECK(tables.wrong(store("nbd://h", "[ yes ]")) == "wrong-kind");
    CHECK(tables.wrong(store("nbds://h", "no")) == "tls-conflict");
    CHECK(tables.wrong(store("nbd://h", "{ psk_file: \"@/none\" }")) == "no-such-file");
    CHECK(tables.wrong(store("nbd://h", "{ certificates: \"@/none\" }")) == "no-such-file");
}
