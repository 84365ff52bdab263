#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "unit/cli_fixture.h"

using namespace cli_test;

TEST_CASE("cli: help and version are data, and done") {
    // Exit 0 and stdout, with the examples before the options.
    for (const std::string verb :
         {"serve",  "demo",       "check",  "ls",      "table",   "status", "info",
          "deps",   "exports",    "load",   "clear",   "suspend", "resume", "message",
          "stats",  "wait",       "top",    "clients", "replay",  "import", "targets",
          "health", "completion", "attach", "detach"}) {
        CAPTURE(verb);
        const Outcome help = run({verb, "--help"});
        CHECK(help.code == exits::done);
        CHECK(help.err.empty());
        const auto examples = help.out.find("\nExamples:\n  ");
        CHECK(examples < help.out.find("dmnbd " + verb, examples));
        CHECK(help.out.find("dmnbd " + verb, examples) < help.out.find("\nUsage:"));
        CHECK(run({verb, "--version"}).out.starts_with("dmnbd " DMNBD_VERSION "\n"));
        const std::string all = run({"--help"}).out;
        CHECK((has(all, "\n  " + verb + " ") || has(all, "\n  " + verb + ", ")));
    }
    CHECK(run({"--version"}).code == exits::done);
}

TEST_CASE("cli: wrong usage is 2, and names what was meant") {
    // Nothing on stdout: a script must not take it for data.
    const auto refused = [](const std::vector<std::string>& arguments, const std::string& part) {
        const Outcome outcome = run(arguments);
        CAPTURE(outcome.err);
        CHECK(outcome.code == exits::usage);
        CHECK(outcome.out.empty());
        CHECK(has(outcome.err, part));
    };
    refused({}, "no verb is given");
    refused({"chekc", "x"}, "did you mean 'check'?");
    refused({"relaod", "x"}, "did you mean 'reload'?");
    refused({"suspend", "d", "--noflsh"}, "did you mean '--noflush'?");
    refused({"suspend", "d", "--nolockfs"}, "leave it out: there is no file system here");
    refused({"clients", "drip", "1"}, "did you mean 'drop'?");
    refused({"clients", "drop", "-1"}, "'-1' is not a whole number");
    refused({"clients", "drop", "x"}, "'x' is not a whole number");
    refused({"load", "d", "f", "--table", "0 8 zero"}, "FILE excludes --table");
    refused({"load"}, "DEVICE is required");
    refused({"message", "d", "0"}, "TEXT is required");
    refused({"message", "d", "0", "x", "-y"}, "words that begin with '-' go behind --");
    refused({"message", "d", "0", "x", "--jsn"}, "did you mean '--json'?");
    refused({"clients", "drop", "1", "2"}, "dmnbd clients drop takes no argument '2'");
    refused({"message", "d", "first", "x"}, "'first' is not a whole number");
    refused({"wait", "d", "0x10"}, "'0x10' is not a whole number");
    refused({"wait", "d", "--timeout", "5"}, "--timeout");
    refused({"stats", "d", "--interval", "1ms"}, "at least 10ms");
    refused({"stats", "d", "--count", "2"}, "--count requires --interval");
    refused({"completion", "fish"}, "bash");
    refused({"ls", "--tre"}, "did you mean '--tree'?");
    refused({"serve", "--shrads=4"}, "did you mean '--shards'?");
    refused({"serve"}, "FILE is required");
    refused({"serve", "x", "--shards", "0"}, "--shards");
    refused({"serve", "x", "--seed", "-1"}, "--seed");
    refused({"serve", "x", "--control", "http://127.0.0.1:1"}, "unix socket");
    refused({"ls", "extra"}, "takes no argument 'extra'");
    refused({"ls", "--color=pink"}, "--color");
    refused({"ls", "--control", "https://x"}, "not a control address");
}

TEST_CASE("cli: no server is 3") {
    // Scripts wait for a server by it; also where a dead one left its socket.
    const ScratchFolder folder;
    for (const std::vector<std::string>& verb :
         std::vector<std::vector<std::string>>{{"ls"},
                                               {"table"},
                                               {"status"},
                                               {"info"},
                                               {"deps"},
                                               {"exports"},
                                               {"health"},
                                               {"top"},
                                               {"clients"},
                                               {"clients", "drop", "1"},
                                               {"load", "d", "--table", "0 8 zero"},
                                               {"clear", "d"},
                                               {"suspend", "d"},
                                               {"resume", "d"},
                                               {"message", "d", "0", "x"},
                                               {"stats", "d"},
                                               {"wait", "d"}}) {
        std::vector<std::string> words = verb;
        words.insert(words.end(), {"--control", folder / "none"});
        const Outcome outcome = run(words);
        CAPTURE(words[0]);
        CHECK(outcome.code == exits::no_server);
        CHECK(has(outcome.err, "no server answers at unix:"));
        CHECK(has(outcome.err, "dmnbd serve FILE"));
    }
    CHECK(run({"health", "--control", "http://127.0.0.1:1"}).code == exits::no_server);
}

TEST_CASE("cli: an unknown device or target is 4, and names the closest") {
    // The same for every verb that takes one.
    const Fixture fixture;
    for (const std::string verb : {"table", "status", "info"}) {
        const Outcome outcome = fixture.ask({verb, "flakky"});
        CHECK(outcome.code == exits::no_such);
        CHECK(outcome.out.empty());
        CHECK(has(outcome.err, "there is no device 'flakky'"));
        CHECK(has(outcome.err, "did you mean 'flaky'?"));
        CHECK(fixture.ask({verb, "--json", "flakky"}).code == exits::no_such);
    }
    CHECK(has(fixture.ask({"info", "zzzzzzz"}).err, "dmnbd ls lists them all"));
    CHECK(run({"targets", "flaky"}).code == exits::no_such);
    CHECK(run({"targets", "flaky", "--json"}).code == exits::no_such);
    CHECK(has(run({"targets", "flaky"}).err, "did you mean 'flakey'?"));
}

TEST_CASE("cli: table prints dm text, with names for all and without for one") {
    // It can be pasted into dmsetup; what it can't say is on stderr.
    const Fixture fixture;
    const Outcome all = fixture.ask({"table"});
    CHECK(all.code == exits::done);
    CHECK(all.out ==
          "joined: 0 1048576 linear ram0 0\n"
          "joined: 1048576 1048576 linear img0 0\n"
          "flaky: 0 2097152 flakey joined 0 9 1 1 drop_writes\n"
          "remote: \n");
    CHECK(has(all.err, "note: flaky: "));
    CHECK(has(all.err, "0 2097152 flakey joined 0 9 500ms 1 drop_writes"));
    CHECK(fixture.ask({"table", "joined"}).out ==
          "0 1048576 linear ram0 0\n1048576 1048576 linear img0 0\n");
    CHECK(fixture.ask({"table", "joined"}).err.empty());
    CHECK(fixture.ask({"status", "flaky"}).out == "0 2097152 flakey\n");
    CHECK(fixture.ask({"ls"}).out == "joined\nflaky\nremote\n");
}

TEST_CASE("cli: --json prints JSON, of one device an object") {
    // jq at the other end.
    const Fixture fixture;
    using nlohmann::json;
    CHECK(json::parse(fixture.ask({"info", "flaky", "--json"}).out).at("retried") == 118);
    CHECK(json::parse(fixture.ask({"info", "--json"}).out).size() == 3);
    CHECK(json::parse(fixture.ask({"table", "--json"}).out).at("joined").size() == 2);
    CHECK(json::parse(fixture.ask({"status", "--json"}).out).at("flaky") == "0 2097152 flakey\n");
    CHECK(json::parse(fixture.ask({"ls", "--json"}).out).at("stores").size() == 3);
    CHECK(json::parse(fixture.ask({"exports", "--json"}).out).size() == 2);
    CHECK(json::parse(fixture.ask({"health", "--json"}).out).at("good") == true);
    CHECK(json::parse(run({"targets", "--json"}).out).size() >= 5);
    CHECK(json::parse(run({"targets", "zero", "--json"}).out).at("name") == "zero");
}

TEST_CASE("cli: health is 0 or 1, and tells what is bad") {
    // The probe of a container that has no curl.
    Fixture fixture;
    CHECK(fixture.ask({"health"}).out == "live\n");
    CHECK(fixture.ask({"health", "--ready"}).out == "ready\n");
    fixture.live.well = false;
    const Outcome bad = fixture.ask({"health", "--ready"});
    CHECK(bad.code == exits::failed);
    CHECK(bad.out.empty());
    CHECK(has(bad.err, "store img0: does not answer"));
    CHECK(fixture.ask({"health"}).code == exits::failed);
}

TEST_CASE("cli: the same over HTTP, where it was asked for") {
    // --control http://HOST:PORT.
    Fixture fixture;
    const std::uint16_t port = fixture.server.listen_tcp("127.0.0.1", 0, {.own_host = "127.0.0.1"});
    CHECK(run({"ls", "--control", "http://127.0.0.1:" + std::to_string(port)}).out ==
          "joined\nflaky\nremote\n");
}

TEST_CASE("cli: check is 1 for a bad table, and for warnings only if strict") {
    // CI runs it.
    const ScratchFolder folder;
    const auto file = [&](const std::string& name, const std::string& text) {
        std::ofstream(folder / name) << text;
        return folder / name;
    };
    const std::string good = file("good.yaml",
                                  "version: 1\n"
                                  "stores: { ram0: { type: memory, size: 1MiB } }\n"
                                  "devices:\n"
                                  "  d: { table: [ { target: linear, args: { device: ram0 } } ] }\n"
                                  "exports: { \"\": d }\n");
    const std::string bad = file("bad.yaml", "version: 7\n");
    CHECK(run({"check", good}).code == exits::done);
    CHECK(has(run({"check", good}).out, "good.yaml: good: 1 device, 1 export\n"));
    CHECK(run({"check", bad}).code == exits::failed);
    CHECK(has(run({"check", bad}).out, "error["));
    CHECK(run({"check", good, bad}).code == exits::failed);
    CHECK(has(run({"check", "--format", "short", bad}).out, "bad.yaml:1:"));
    const auto found = nlohmann::json::parse(run({"check", "--json", good, bad}).out);
    CHECK(found.back().at("severity") == "error");
    CHECK(run({"check", folder / "none.yaml"}).code == exits::failed);
    CHECK(has(run({"check", "--color=always", bad}).out, "\033[1;31merror["));
    CHECK_FALSE(has(run({"check", bad}).out, "\033"));
}

TEST_CASE("cli: a bad table is told before anything is served") {
    // On stderr, with exit 1.
    const ScratchFolder folder;
    std::ofstream(folder / "bad.yaml") << "version: 7\n";
    const Outcome outcome = run({"serve", folder / "bad.yaml"});
    CHECK(outcome.code == exits::failed);
    CHECK(outcome.out.empty());
    CHECK(has(outcome.err, "error["));
}

TEST_CASE("cli: --listen takes one word, as often as it is given") {
    // FILE may stand after it.
    const ScratchFolder folder;
    const std::string file = folder / "bad.yaml";
    std::ofstream(file) << "version: 7\n";
    CHECK(run({"serve", "--listen", "tcp://127.0.0.1:1", file}).code == exits::failed);
    CHECK(run({"serve", file, "--listen", "unix:a", "--listen=unix:b"}).code == exits::failed);
}

TEST_CASE("cli: demo --print is a table that check finds good") {
    // It is what a newcomer starts from.
    const ScratchFolder folder;
    std::ofstream(folder / "demo.yaml") << run({"demo", "--print"}).out;
    const Outcome checked = run({"check", folder / "demo.yaml"});
    CAPTURE(checked.out);
    CHECK(checked.code == exits::done);
}

TEST_CASE("cli: output that can't be written is a failure") {
    // A full disk must not leave half a table and exit 0.
    std::ostringstream out;
    std::ostringstream err;
    out.setstate(std::ios::badbit);
    CHECK(server::cli::run({"targets"}, out, err) == exits::failed);
}
