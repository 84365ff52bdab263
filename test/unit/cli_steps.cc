// The verbs that change or watch a device, run as a user would.
#include <doctest/doctest.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "unit/cli_fixture.h"

using namespace cli_test;
using nlohmann::json;

namespace {

using Steps = std::vector<std::string>;

/// Standard input, for as long as it lives.
class Input {
  public:
    explicit Input(const std::string& text) : text_(text), before_(std::cin.rdbuf(text_.rdbuf())) {}
    Input(const Input&) = delete;
    Input& operator=(const Input&) = delete;
    ~Input() { std::cin.rdbuf(before_); }

  private:
    std::istringstream text_;
    std::streambuf* before_;
};

}  // namespace

TEST_CASE("cli: dm's own steps print nothing when all is well, as dmsetup does") {
    // Scripts written for dmsetup take output for a problem.
    Fixture fixture;
    for (const std::vector<std::string>& step :
         std::vector<std::vector<std::string>>{{"suspend", "flaky"},
                                               {"suspend", "flaky", "--noflush"},
                                               {"load", "flaky", "--table", "0 8 zero"},
                                               {"reload", "--table", "0 8 error", "flaky"},
                                               {"clear", "flaky"},
                                               {"resume", "flaky"},
                                               {"resume", "flaky", "--noflush"}}) {
        const Outcome outcome = fixture.ask(step);
        CAPTURE(outcome.err);
        CHECK(outcome.code == exits::done);
        CHECK(outcome.out.empty());
        CHECK(outcome.err.empty());
    }
    CHECK(fixture.live.steps() == Steps{"suspend flaky flush", "suspend flaky noflush",
                                        "load flaky dm 0 8 zero", "load flaky dm 0 8 error",
                                        "clear flaky", "resume flaky flush",
                                        "resume flaky noflush"});
}

TEST_CASE("cli: steps print the device as it is then, if JSON is asked for") {
    // One call less for a script that wants to know.
    const Fixture fixture;
    for (const std::vector<std::string>& step :
         std::vector<std::vector<std::string>>{{"suspend", "flaky", "--json"},
                                               {"resume", "flaky", "--json"},
                                               {"load", "flaky", "--json", "--table", "0 8 zero"},
                                               {"clear", "flaky", "--json"}}) {
        CHECK(json::parse(fixture.ask(step).out).at("name") == "flaky");
    }
}

TEST_CASE("cli: load takes its table from an option, a file or standard input") {
    // As dmsetup does; and what begins like YAML is sent as YAML.
    Fixture fixture;
    const auto file = [&](const std::string& text) {
        std::ofstream(fixture.folder / "t") << text;
        return fixture.folder / "t";
    };
    CHECK(fixture.ask({"load", "flaky", file("# a comment\n\n0 8 zero\n")}).code == exits::done);
    CHECK(fixture.ask({"load", "flaky", file("# a comment\ntable: |\n 0 8 zero\n")}).code ==
          exits::done);
    CHECK(fixture.ask({"load", "flaky", file("{\"table\": []}")}).code == exits::done);
    CHECK(fixture.ask({"load", "flaky", file("nonsense")}).code == exits::done);
    CHECK(fixture.ask({"load", "flaky", file("")}).code == exits::done);
    for (const std::vector<std::string>& step :
         std::vector<std::vector<std::string>>{{"load", "flaky"}, {"load", "flaky", "-"}}) {
        const Input input("0 8 zero\n8 8 error\n");
        CHECK(fixture.ask(step).code == exits::done);
    }
    CHECK(fixture.live.steps() ==
          Steps{"load flaky dm # a comment\n\n0 8 zero\n",
                "load flaky segments # a comment\ntable: |\n 0 8 zero\n",
                "load flaky segments {\"table\": []}", "load flaky dm nonsense", "load flaky dm ",
                "load flaky dm 0 8 zero\n8 8 error\n", "load flaky dm 0 8 zero\n8 8 error\n"});
}

TEST_CASE("cli: a table that can't be read or sent is told before anything is asked") {
    // Each with its reason.
    Fixture fixture;
    const auto refused = [&](const std::string& name, const std::string& why) {
        const Outcome outcome = fixture.ask({"load", "flaky", fixture.folder / name});
        CHECK(outcome.code == exits::failed);
        CAPTURE(outcome.err);
        CHECK(has(outcome.err, why));
    };
    refused("none", "No such file or directory");
    refused("", "Is a directory");
    std::ofstream(fixture.folder / "binary") << "0 8 zero \xff\n";
    refused("binary", "the text is not UTF-8");
    std::ofstream(fixture.folder / "long") << std::string((16U << 20) + 1, '#');
    refused("long", "at most 16MiB");
    CHECK(fixture.live.steps().empty());
}

TEST_CASE("cli: a bad table is 1, and told as check tells it") {
    // Line, caret and fix; nothing on stdout.
    const Fixture fixture;
    const Outcome outcome = fixture.ask({"load", "flaky", "--table", "0 8 bad"});
    CHECK(outcome.code == exits::failed);
    CHECK(outcome.out.empty());
    CHECK(outcome.err ==
          "error[unknown-target]: there is no target 'bad'\n"
          "  --> table:1:5\n"
          "   |\n"
          "1  | 0 8 bad\n"
          "   |     ^^^ what?\n");
    CHECK(has(fixture.ask({"load", "flaky", "--table", "0 8 bad", "--color=always"}).err,
              "\033[1;31merror[unknown-target]\033[0m: "));
}

TEST_CASE("cli: a step on an unknown device is 4, in a wrong state 1") {
    // 5 is for what would harm somebody.
    const Fixture fixture;
    for (const std::vector<std::string>& step :
         std::vector<std::vector<std::string>>{{"suspend", "flakky"},
                                               {"resume", "flakky"},
                                               {"clear", "flakky"},
                                               {"message", "flakky", "0", "x"},
                                               {"load", "flakky", "--table", "0 8 zero"},
                                               {"stats", "flakky"},
                                               {"wait", "flakky"},
                                               {"deps", "flakky"}}) {
        const Outcome outcome = fixture.ask(step);
        CHECK(outcome.code == exits::no_such);
        CHECK(outcome.out.empty());
        CHECK(has(outcome.err, "did you mean 'flaky'?"));
    }
    const Outcome outcome = fixture.ask({"resume", "joined"});
    CHECK(outcome.code == exits::failed);
    CHECK(has(outcome.err, "'joined' has no table to resume\n  = help: load one first"));
    CHECK(fixture.ask({"suspend", "joined"}).code == exits::failed);
}

TEST_CASE("cli: a message's words go as they are, and its answer comes on stdout") {
    // Also those that look like numbers; after -- also those that look like options.
    Fixture fixture;
    CHECK(fixture.ask({"message", "flaky", "0", "@stats_create", "-", "/4"}).out ==
          "said @stats_create\n");
    CHECK(fixture.ask({"message", "flaky", "8", "quiet", "a\\ b"}).out.empty());
    CHECK(run({"message", "--control", fixture.path, "flaky", "0", "--", "-x", "--json"}).out ==
          "said -x\n");
    CHECK(run({"--control", fixture.path, "message", "flaky", "0", "a", "--", "-x"}).out ==
          "said a\n");
    CHECK(fixture.ask({"message", "flaky", "0", "\033[2J"}).out == "said \\x1b[2J\n");
    CHECK(fixture.live.steps() == Steps{"message flaky 0|@stats_create|-|/4",
                                        "message flaky 8|quiet|a b", "message flaky 0|-x|--json",
                                        "message flaky 0|a|-x", "message flaky 0|\033[2J"});
    CHECK(json::parse(fixture.ask({"message", "flaky", "0", "hi", "--json"}).out) ==
          json({{"text", "said hi\n"}}));
    const Outcome bad = fixture.ask({"message", "flaky", "0", "bad"});
    CHECK(bad.code == exits::failed);
    CHECK(has(bad.err, "it knows no 'bad'"));
}

TEST_CASE("cli: --inactive shows what a resume would bring in") {
    // The live table of the same device is empty.
    const Fixture fixture;
    CHECK(fixture.ask({"table", "remote", "--inactive"}).out == "0 8 zero \n");
    CHECK(fixture.ask({"status", "remote", "--inactive"}).out == "0 8 zero \n");
    CHECK(fixture.ask({"table", "remote"}).out == "\n");
    CHECK(json::parse(fixture.ask({"table", "remote", "--inactive", "--json"}).out)
              .at("remote")[0]
              .at("target") == "zero");
    CHECK(fixture.ask({"deps", "remote", "--inactive"}).out == "2 dependencies\t: (flaky) (far)\n");
}

TEST_CASE("cli: deps prints dmsetup's line with our names") {
    // dmsetup deps -o devname.
    const Fixture fixture;
    CHECK(fixture.ask({"deps"}).out ==
          "joined: 2 dependencies\t: (ram0) (img0)\n"
          "flaky: 1 dependencies\t: (joined)\n"
          "remote: 1 dependencies\t: (far)\n");
    CHECK(fixture.ask({"deps", "flaky"}).out == "1 dependencies\t: (joined)\n");
    CHECK(json::parse(fixture.ask({"deps", "--json"}).out).at("joined") ==
          json::array({"ram0", "img0"}));
}

TEST_CASE("cli: stats prints counters, the kernel's columns, or what is done per interval") {
    // The counters stand still here, so nothing is done in an interval.
    const Fixture fixture;
    CHECK(has(fixture.ask({"stats", "flaky"}).out, "\nRetried:    118, given up: 0\n"));
    const std::string columns = fixture.ask({"stats", "flaky", "--sysfs"}).out;
    CHECK(columns.size() == 17 * 9);
    CHECK(columns.ends_with("\n"));
    CHECK(json::parse(fixture.ask({"stats", "flaky", "--json"}).out).at("retried") == 118);
    const Outcome twice = fixture.ask({"stats", "flaky", "--interval", "10ms", "--count", "2"});
    CHECK(twice.out ==
          "    IO/s     MiB/s  Mean ms     Infl Deferred Retried/s\n"
          "       0       0.0    0.000       12        0         0\n"
          "       0       0.0    0.000       12        0         0\n");
    const std::string lines =
        fixture.ask({"stats", "flaky", "--interval=10ms", "--count=2", "--sysfs"}).out;
    CHECK(lines == columns + columns);
    std::istringstream objects(
        fixture.ask({"stats", "flaky", "--interval=10ms", "--count=2", "--json"}).out);
    int read = 0;
    for (std::string line; std::getline(objects, line); ++read) {
        CHECK(json::parse(line).at("retried") == 118);
    }
    CHECK(read == 2);
}

TEST_CASE("cli: wait ends with the next event, at once if that is past, or with 124") {
    // dmsetup wait; a script must not wait for ever.
    Fixture fixture;
    CHECK(fixture.ask({"wait", "flaky", "6"}).code == exits::done);
    CHECK(json::parse(fixture.ask({"wait", "flaky", "6", "--json"}).out).at("event_number") == 7);
    const Outcome late = fixture.ask({"wait", "flaky", "7", "--timeout", "20ms"});
    CHECK(late.code == exits::timed_out);
    CHECK(late.out.empty());
    CHECK(has(late.err, "no new table on 'flaky' within 20ms"));
    std::thread later([&] {
        while (fixture.live.steps().back() != "wait flaky 7") std::this_thread::yield();
        fixture.live.raise_event();
    });
    fixture.live.clear("joined");  // So that the step before is another one.
    const Outcome next = fixture.ask({"wait", "flaky"});
    later.join();
    CHECK(next.code == exits::done);
    CHECK(next.out.empty());
}

TEST_CASE("cli: clients are listed, and dropped by their number") {
    // What a client calls itself can't steer the terminal.
    Fixture fixture;
    CHECK(fixture.ask({"clients"}).out ==
          "Id  Address         Export    Infl State\n"
          " 1  127.0.0.1:40812 (default)    5 serving\n"
          " 2  unix            remote       0 closing\n"
          " 7  evil\\x1b[2J     -            0 negotiating\n");
    CHECK(json::parse(fixture.ask({"clients", "--json"}).out).size() == 3);
    CHECK(fixture.ask({"clients", "drop", "1"}).out.empty());
    CHECK(json::parse(fixture.ask({"clients", "drop", "1", "--json"}).out).at("dropped") == 1);
    const Outcome none = fixture.ask({"clients", "drop", "9"});
    CHECK(none.code == exits::no_such);
    CHECK(has(none.err, "there is no client '9'\n  = help: dmnbd clients lists them all"));
    CHECK(fixture.live.steps() == Steps{"drop 1", "drop 1", "drop 9"});
    CHECK(has(run({"clients", "drop", "--help"}).out, "Examples:\n  dmnbd clients drop"));
}

TEST_CASE("cli: top prints one table where there is no terminal") {
    // In a log or a pipe nothing is redrawn.
    const Fixture fixture;
    const std::string expected =
        "Name        IO/s    MiB/s  Mean ms     Infl Deferred Retried/s\n"
        "joined         0      0.0    0.000        0        0         0\n"
        "flaky          0      0.0    0.000       12        0         0\n"
        "remote         0      0.0    0.000        0        0         0\n";
    CHECK(fixture.ask({"top", "--once", "--interval", "10ms"}).out == expected);
    CHECK(fixture.ask({"top", "--interval", "10ms"}).out == expected);
    CHECK(json::parse(fixture.ask({"top", "--interval", "10ms", "--json"}).out)[1].at(
              "in_flight") == 12);
}
