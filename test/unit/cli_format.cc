#include <doctest/doctest.h>

#include "dmcore/registry.h"
#include "server/cli/console.h"
#include "server/cli/format.h"
#include "server/control/api.h"
#include "unit/control_fake.h"

namespace {

using namespace server::cli;

/// What the verbs get to see.
Json asked(const std::string& path, const std::string& key) {
    FakeLive live;
    const auto answer =
        server::control::Api(live).answer({.method = "GET", .path = path, .query = {}, .body = {}});
    return Json::parse(answer.body).at(key);
}

Json devices() {
    return asked("/v1/devices", "devices");
}
Json stores() {
    return asked("/v1/stores", "stores");
}

Json device(const std::string& name, const std::vector<std::string>& below) {
    Json found = devices()[0];
    found["name"] = name;
    found["below"] = Json::array();
    for (const std::string& one : below) found["below"].push_back({{"name", one}});
    return found;
}

}  // namespace

TEST_CASE("format: ls --tree draws stacks to the letter") {
    // People and scripts know this picture from the manual.
    CHECK(tree_text(devices(), stores()) ==
          "flaky (1GiB) flakey up, 6.4s left\n"
          " └─joined (1GiB)\n"
          "    ├─ram0 [memory 512MiB]\n"
          "    └─img0 [file disk0.img 512MiB]\n"
          "remote (512MiB) suspended\n"
          " └─far [nbd nbd://10.0.0.7:10809/vol1 512MiB]\n");
}

TEST_CASE("format: a line goes down beside what is not last") {
    // The bar of a nested level, from the manual.
    const Json all = Json::array({device("big", {"flaky", "far"}), device("flaky", {"joined"}),
                                  device("joined", {"ram0", "img0"})});
    CHECK(tree_text(all, stores()) ==
          "big (1GiB)\n"
          " ├─flaky (1GiB)\n"
          " │  └─joined (1GiB)\n"
          " │     ├─ram0 [memory 512MiB]\n"
          " │     └─img0 [file disk0.img 512MiB]\n"
          " └─far [nbd nbd://10.0.0.7:10809/vol1 512MiB]\n");
}

TEST_CASE("format: a device that many stand on is unfolded once") {
    // Otherwise 64 levels of two legs each would draw 2^64 lines.
    const Json all = Json::array(
        {device("a", {"b", "c"}), device("b", {"d"}), device("c", {"d"}), device("d", {"ram0"})});
    CHECK(tree_text(all, stores()) ==
          "a (1GiB)\n"
          " ├─b (1GiB)\n"
          " │  └─d (1GiB)\n"
          " │     └─ram0 [memory 512MiB]\n"
          " └─c (1GiB)\n"
          "    └─d (1GiB) (see above)\n");
}

TEST_CASE("format: info -c lines its columns up to the letter") {
    // The manual's example.
    CHECK(info_columns(devices()) ==
          "Name    Stat Open Targ Event Infl Requeue Retried Size\n"
          "joined  L--w    1    2     0    0       0       0 1GiB\n"
          "flaky   L--w    3    1     7   12       4     118 1GiB\n"
          "remote  -Isr    0    0     0    0       0       0 512MiB\n");
}

TEST_CASE("format: info prints blocks as dmsetup does") {
    // Scripts grep them.
    const Json all = devices();
    CHECK(info_blocks(Json::array({all[0], all[2]})) ==
          "Name:              joined\n"
          "State:             ACTIVE\n"
          "Tables present:    LIVE\n"
          "Open count:        1\n"
          "Event number:      0\n"
          "Number of targets: 2\n"
          "Size:              1GiB (2097152 sectors)\n"
          "\n"
          "Name:              remote\n"
          "State:             SUSPENDED (READ-ONLY)\n"
          "Tables present:    INACTIVE\n"
          "Open count:        0\n"
          "Event number:      0\n"
          "Number of targets: 0\n"
          "UUID: u-1\n"
          "Size:              512MiB (1048576 sectors)\n");
}

TEST_CASE("format: exports name the default one, and escape what a file may hold") {
    // A description must not steer the terminal.
    CHECK(exports_text(asked("/v1/exports", "exports")) ==
          "Export     Device Size   Mode Clients Data       Description\n"
          "(default)  flaky  1GiB   rw         2 until exit\n"
          "remote     remote 512MiB ro         0 kept       over\\x1bthere\n");
}

TEST_CASE("format: one export in full says what it offers and why") {
    CHECK(export_block(asked("/v1/exports", "exports").at(0)) ==
          "Export     Device Size Mode Clients Data       Description\n"
          "(default)  flaky  1GiB rw         2 until exit\n"
          "\n"
          "flush       yes a flush reaches the caches of img0\n"
          "fua         yes so it is\n"
          "multi_conn  yes one cache\n"
          "trim        no  not of ram0\n"
          "zero        yes\n"
          "fast_zero   no  \\x1b\n"
          "\n"
          "stores in x-dmnbd:map: 1=img0 2=ram0\n");
}

TEST_CASE("format: each line of a text gets its prefix") {
    // Without a table dmsetup prints the name alone.
    CHECK(prefixed("a\nb\n", "x: ") == "x: a\nx: b\n");
    CHECK(prefixed("a\nb", "") == "a\nb\n");
    CHECK(prefixed("", "x: ") == "x: \n");
}

TEST_CASE("format: rows that dm text can't say are found") {
    // `table` notes them: half a second reads as one second in dm text.
    const auto row = [](int start, const std::string& args) {
        return Json{{"start", start}, {"length", 8}, {"target", "t"}, {"args", args}};
    };
    const Json rows = Json::array({row(0, ""), row(8, "x 500ms"), row(16, "y 1")});
    CHECK(rows_dm_cannot_say("0 8 t \n8 8 t x 1\n16 8 t y 1\n", rows) ==
          std::vector<std::string>{"8 8 t x 500ms"});
    CHECK(rows_dm_cannot_say("0 8 t \n8 8 t x 500ms\n16 8 t y 1", rows).empty());
    CHECK(rows_dm_cannot_say("", rows).size() == 3);
}

TEST_CASE("format: a target says how each of its arguments is written") {
    // `targets NAME` is the first help of who writes a table.
    const std::string text = target_text(*dmcore::find_target_type("flakey"));
    CHECK(text.find("flakey v1.5.0: ") == 0);
    CHECK(text.find("\n  up: duration") != std::string::npos);
    CHECK(text.find("\n    corrupt_bio_byte: {nth, dir, value, flags}\n") != std::string::npos);
    const std::string delay = target_text(*dmcore::find_target_type("delay"));
    CHECK(delay.find("\n  delay: duration; in dm text milliseconds\n") != std::string::npos);
    CHECK(delay.find("\n  write_device: name of a store or device, may be left out with what "
                     "follows\n") != std::string::npos);
    const std::string dust = target_text(*dmcore::find_target_type("dust"));
    CHECK(dust.find("\n  bad_blocks: list such as [60, 100-199]; not in dm text\n") !=
          std::string::npos);
    for (const dmcore::TargetType* type : dmcore::target_types()) {
        CHECK(targets_text(dmcore::target_types()).find(std::string(type->name)) !=
              std::string::npos);
    }
}

TEST_CASE("format: colour only touches the heads of diagnostics") {
    // A line of the table that looks like one stays as it is.
    CHECK(coloured_diagnostics("error[x]: bad\n1 | error[x]\n") ==
          "\033[1;31merror[x]\033[0m: bad\n1 | error[x]\n");
    CHECK(wants_colour(Colour::always, -1));
    CHECK_FALSE(wants_colour(Colour::automatic, -1));
}
