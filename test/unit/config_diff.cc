// Why: a plan is what people decide by; its words are checked one by one, in test/cases/plan. Set
// DMNBD_UPDATE_CASES=1 to write them anew, then read the difference.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/diff.h"
#include "config/load.h"
#include "config/print.h"

using namespace config;
namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

Spec load(const std::string& name, const std::string& text) {
    Diagnostics found;
    auto spec = load_text(name, text, found);
    INFO(found.human());
    REQUIRE(spec.has_value());
    return std::move(*spec);
}

}  // namespace

TEST_CASE("plans, word by word") {
    // Each case is a file NAME.yaml of two tables, parted by a line "--- wanted", and NAME.plan.
    const bool update = std::getenv("DMNBD_UPDATE_CASES") != nullptr;
    int cases = 0;
    for (const auto& file : fs::directory_iterator(DMNBD_SOURCE_DIR "/test/cases/plan")) {
        if (file.path().extension() != ".yaml") continue;
        CAPTURE(file.path().filename().string());
        const std::string text = content(file.path());
        const std::string parting = "--- wanted\n";
        const std::size_t at = text.find(parting);
        REQUIRE(at != std::string::npos);
        const Spec live = load("live", text.substr(0, at));
        const Spec wanted = load("wanted", text.substr(at + parting.size()));
        const std::string plan = plan_text(diff(live, wanted));
        fs::path expected = file.path();
        expected.replace_extension(".plan");
        if (update) std::ofstream(expected) << plan;
        CHECK(plan == content(expected));
        // Once it is live, or was printed and loaded, there is nothing left to do.
        CHECK(plan_text(diff(wanted, wanted)) == "no changes\n");
        CHECK(plan_text(diff(wanted, load("printed", yaml_text(wanted)))) == "no changes\n");
        ++cases;
    }
    CHECK(cases >= 30);
}

TEST_CASE("the plan of the manual") {
    const std::string joined =
        "devices:\n  joined: { table: [ { length: 4MiB, target: zero } ] }\n"
        "  flaky: { table: [ { target: flakey, args: { device: joined, up: 9s, down: ";
    const Spec live =
        load("live", "version: 1\nstores: { ram0: { type: memory, size: 512MiB } }\n" + joined +
                         "1s } } ] }\n");
    const Spec wanted =
        load("wanted",
             "version: 1\nstores:\n"
             "  img2: { type: file, path: ./disk2.img, size: 1GiB, create: true }\n" +
                 joined + "5s } } ] }\n");
    CHECK(plan_text(diff(live, wanted, {{"flaky", 1}})) ==
          "  ~ device flaky  down: 1s -> 5s         swap while suspended; 1 client waits\n"
          "  + store  img2   file ./disk2.img 1GiB\n"
          "  - store  ram0   memory 512MiB          LOSES DATA: apply needs --allow-data-loss\n"
          "1 to add, 1 to change, 1 to remove\n");
}

TEST_CASE("another way to the same remote is a change below; another remote is another store") {
    const auto far = [](const std::string& more) {
        return load("far", "version: 1\nstores: { far: { type: nbd, size: 1GiB, " + more +
                               " } }\ndevices: { d: { table: [ { target: linear, args: { device: "
                               "far } } ] } }\n");
    };
    const Spec live = far("uri: \"nbd://a\"");
    CHECK(plan_text(diff(live, far("uri: \"nbd://a\", reconnect: 5s, connections: 2"))) ==
          "  ~ device d    far changes below  swap while suspended\n"
          "  ~ store  far  connections: 1 -> 2, reconnect: 20s -> 5s\n"
          "0 to add, 2 to change, 0 to remove\n");
    CHECK(plan_text(diff(live, far("uri: \"nbd://b\""))) ==
          "  ~ device d    far changes below                     swap while suspended\n"
          "  ~ store  far  nbd nbd://a 1GiB -> nbd nbd://b 1GiB\n"
          "0 to add, 2 to change, 0 to remove\n");
}
