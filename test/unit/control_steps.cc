// dm's own steps through the control API, before any socket.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "server/control/api.h"
#include "server/control/limits.h"
#include "server/control/routes.h"
#include "unit/control_fake.h"

namespace {

using nlohmann::json;
using server::control::Api;
using server::control::find_route;
using server::control::Request;
using server::control::Response;
using server::control::Thread;
namespace limits = server::control::limits;

struct Asked {
    FakeLive live;

    Response post(const std::string& path, const std::string& body,
                  const std::string& type = "application/json") {
        return send("POST", "/v1/devices/" + path, body, type);
    }
    Response send(const std::string& method, const std::string& path, const std::string& body = {},
                  const std::string& type = {}) {
        return Api(live).answer(
            {.method = method, .path = path, .query = {}, .body = body, .content_type = type});
    }
    Response get(const std::string& path, std::map<std::string, std::string> query) {
        return Api(live).answer(
            {.method = "GET", .path = path, .query = std::move(query), .body = {}});
    }
};

/// Checks that it was refused, and returns what is said about it.
json refusal(const Response& response, unsigned status, const std::string& type) {
    CHECK(response.status == status);
    CHECK(response.type == "application/problem+json");
    const json body = json::parse(response.body);
    CHECK(body.at("status") == status);
    CHECK(body.at("type") == type);
    return body;
}

using Steps = std::vector<std::string>;

}  // namespace

TEST_CASE("steps: each is taken on its device, and answers with the device as it is then") {
    // A caller must not need a second question to know how it went.
    Asked asked;
    for (const auto& [step, body] : {std::pair{"suspend", "{}"},
                                     {"suspend", R"({"flush": false})"},
                                     {"resume", ""},
                                     {"resume", R"({"flush": false})"},
                                     {"load", R"({"dm": "0 8 zero\n8 8 error"})"},
                                     {"clear", "{}"}}) {
        CAPTURE(step);
        const Response done = asked.post(std::string("flaky/") + step, body);
        CHECK(done.status == 200);
        CHECK(json::parse(done.body).at("name") == "flaky");
        CHECK(json::parse(done.body).contains("inactive_table"));
    }
    CHECK(asked.live.steps() == Steps{"suspend flaky flush", "suspend flaky noflush",
                                      "resume flaky flush", "resume flaky noflush",
                                      "load flaky dm 0 8 zero\n8 8 error", "clear flaky"});
}

TEST_CASE("steps: a table comes as dm text, as JSON or as YAML") {
    // JSON and YAML keep their text, so that messages can point into it.
    Asked asked;
    const std::string rows = R"({"table": [{"length": 8, "target": "zero"}], "map": {}})";
    CHECK(asked.post("flaky/load", rows).status == 200);
    CHECK(asked.post("flaky/load", "table: []\n", "application/yaml").status == 200);
    CHECK(asked.live.steps() ==
          Steps{"load flaky segments " + rows, "load flaky segments table: []\n"});
    for (const char* body : {"{}", R"({"map": {}})", R"({"dm": "0 8 zero", "table": []})",
                             R"({"dm": "0 8 zero", "map": {}})"}) {
        CAPTURE(body);
        const json said = refusal(asked.post("flaky/load", body), 400, "bad-body");
        CHECK(said.at("detail").get<std::string>().find(R"({"dm":"0 8 zero"})") !=
              std::string::npos);
    }
    refusal(asked.post("flaky/load", R"({"dm": ["0 8 zero"]})"), 400, "bad-value");
    CHECK(asked.live.steps().size() == 2);
}

TEST_CASE("steps: a bad table is told with its place and with the text for people") {
    // Scripts take type and line; the command line prints the report as `check` would.
    Asked asked;
    const json said =
        refusal(asked.post("flaky/load", R"({"dm": "0 8 bad"})"), 422, "unknown-target");
    CHECK(said.at("title") == "there is no target 'bad'");
    CHECK(said.at("detail") == "what?");
    CHECK(said.at("file") == "table");
    CHECK(said.at("line") == 1);
    CHECK(said.at("column") == 5);
    CHECK(said.at("errors").size() == 1);
    CHECK(said.at("report") ==
          "error[unknown-target]: there is no target 'bad'\n"
          "  --> table:1:5\n"
          "   |\n"
          "1  | 0 8 bad\n"
          "   |     ^^^ what?\n");
}

TEST_CASE("steps: a message says sector and words, and gets its answer or its refusal") {
    // Words are split as dm splits them [T-6].
    Asked asked;
    const Response said = asked.post("flaky/message", R"({"sector": 9, "text": "a\\ b  c"})");
    CHECK(json::parse(said.body) == json({{"text", "said a b\n"}}));
    CHECK(json::parse(asked.post("flaky/message", R"({"text": "quiet"})").body).at("text") == "");
    CHECK(asked.live.steps() == Steps{"message flaky 9|a b|c", "message flaky 0|quiet"});
    const json bad =
        refusal(asked.post("flaky/message", R"({"text": "bad word"})"), 422, "bad-message");
    CHECK(bad.at("title") == "it knows no 'bad'");
    CHECK(bad.at("word") == 0);
    for (const char* body :
         {"{}", R"({"text": 1})", R"({"text": ""})", R"({"text": " "})",
          R"({"text": "x", "sector": -1})", R"({"text": "x", "sector": "0"})",
          R"({"text": "x", "sector": 1.5})", R"({"text": "x", "sector": 18446744073709551616})"}) {
        CAPTURE(body);
        refusal(asked.post("flaky/message", body), 400, "bad-value");
    }
    CHECK(asked.live.steps().size() == 3);
}

TEST_CASE("steps: an unknown device is a 404 that names the closest, whatever the step") {
    // The same as for looking.
    Asked asked;
    for (const auto& [step, body] : {std::pair{"suspend", "{}"},
                                     {"resume", "{}"},
                                     {"load", R"({"dm": "0 8 zero"})"},
                                     {"clear", "{}"},
                                     {"message", R"({"text": "x"})"}}) {
        CAPTURE(step);
        const json said =
            refusal(asked.post(std::string("flakky/") + step, body), 404, "no-such-device");
        CHECK(said.at("detail") == "did you mean 'flaky'?");
    }
    CHECK(asked.live.steps().empty());
}

TEST_CASE("steps: a body that is no good does nothing, and is told why") {
    // A misspelt key must not mean its opposite.
    Asked asked;
    for (const char* step : {"suspend", "resume", "load", "clear", "message"}) {
        CAPTURE(step);
        const std::string path = std::string("flaky/") + step;
        refusal(asked.post(path, "{"), 400, "bad-body");
        refusal(asked.post(path, "{\"a\xff\": 1}"), 400, "bad-body");
        refusal(asked.post(path, "[]"), 400, "bad-body");
        refusal(asked.post(path, R"({"zzzzzzz": 1})"), 400, "unknown-key");
        refusal(asked.post(path, "{}", "text/plain"), 415, "wrong-content-type");
        refusal(asked.post(path, "{}", ""), 415, "wrong-content-type");
    }
    refusal(asked.post("flaky/suspend", "{}", "application/yaml"), 415, "wrong-content-type");
    const json meant =
        refusal(asked.post("flaky/suspend", R"({"fluhs": false})"), 400, "unknown-key");
    CHECK(meant.at("title") == "there is no key 'fluhs'");
    CHECK(meant.at("detail") == "did you mean 'flush'?");
    const json none = refusal(asked.post("flaky/clear", R"({"all": true})"), 400, "unknown-key");
    CHECK(none.at("detail") == "this step takes no keys");
    const json keys = refusal(asked.post("flaky/load", R"({"x": 1})"), 400, "unknown-key");
    CHECK(keys.at("detail") == "the keys are table map dm");
    refusal(asked.post("flaky/suspend", R"({"flush": "no"})"), 400, "bad-value");
    refusal(asked.post("flaky/suspend", R"({"flush": null})"), 400, "bad-value");
    CHECK(asked.live.steps().empty());
}

TEST_CASE("steps: bodies are nested 16 levels at most, tables as deep as a table file (40)") {
    // Whoever parses it must not run out of stack or memory.
    Asked asked;
    const auto nested = [](int depth) {
        return R"({"text": )" + std::string(static_cast<std::size_t>(depth), '[') +
               std::string(static_cast<std::size_t>(depth), ']') + "}";
    };
    refusal(asked.post("flaky/message", nested(limits::body_depth_max)), 400, "too-deep");
    refusal(asked.post("flaky/message", nested(limits::body_depth_max - 1)), 400, "bad-value");
    refusal(asked.post("flaky/load", nested(limits::table_depth_max)), 400, "too-deep");
    refusal(asked.post("flaky/load", nested(1'000'000)), 400, "too-deep");
    refusal(asked.post("flaky/load", std::string(1'000'000, '[')), 400, "too-deep");
}

TEST_CASE("steps: a step that the device is not in the state for is a 409") {
    // Trying again does not help; the detail says what would.
    Asked asked;
    const json said = refusal(asked.post("joined/resume", "{}"), 409, "no-table");
    CHECK(said.at("title") == "'joined' has no table to resume");
    CHECK(said.at("detail") == "load one first");
}

TEST_CASE("steps: only POST takes a step, and only GET looks") {
    // The answer says which method is right.
    Asked asked;
    for (const char* step : {"suspend", "resume", "load", "clear", "message"}) {
        for (const char* method : {"GET", "HEAD", "PUT", "DELETE", "PATCH"}) {
            CAPTURE(method);
            const Response wrong =
                asked.send(method, std::string("/v1/devices/flaky/") + step, "{}");
            refusal(wrong, 405, "wrong-method");
            CHECK(wrong.allow == "POST");
        }
    }
    for (const char* part : {"/table", "/deps", "/wait", "/stats", ""}) {
        CHECK(asked.send("POST", std::string("/v1/devices/flaky") + part, "{}").allow ==
              "GET, HEAD");
    }
    CHECK(asked.send("GET", "/v1/clients/1").allow == "DELETE");
    CHECK(asked.send("DELETE", "/v1/clients").allow == "GET, HEAD");
    CHECK(asked.live.steps().empty());
}

TEST_CASE("steps: while the server stops a step is a 503") {
    // It may be asked again of the next server.
    struct Stopping : FakeLive {
        void suspend(const std::string&, bool) override { throw stopping(); }
        bool drop_client(std::uint64_t) override { throw stopping(); }
        static server::StepError stopping() {
            return {server::StepError::Kind::stopping, "stopping", "the server is stopping"};
        }
    } live;
    Request request{.method = "POST",
                    .path = "/v1/devices/flaky/suspend",
                    .query = {},
                    .body = "{}",
                    .content_type = "application/json"};
    refusal(Api(live).answer(request), 503, "stopping");
    request.method = "DELETE";
    request.path = "/v1/clients/1";
    refusal(Api(live).answer(request), 503, "stopping");
}

TEST_CASE("steps: both tables of a device can be looked at") {
    // What a resume would bring in is checked before.
    Asked asked;
    const std::string remote = "/v1/devices/remote";
    CHECK(asked.get(remote + "/table", {{"inactive", ""}}).body == "0 8 zero \n");
    CHECK(asked.get(remote + "/status", {{"inactive", ""}}).body == "0 8 zero \n");
    CHECK(asked.get(remote + "/table", {}).body.empty());
    CHECK(json::parse(asked.get(remote + "/deps", {}).body) == json({{"deps", {"far"}}}));
    CHECK(json::parse(asked.get(remote + "/deps", {{"inactive", ""}}).body) ==
          json({{"deps", {"flaky", "far"}}}));
    refusal(asked.get("/v1/devices/flakky/deps", {}), 404, "no-such-device");
}

TEST_CASE("steps: stats come as counters or as the kernel's 17 columns") {
    // Tools that read /sys/block/NAME/stat can read it.
    Asked asked;
    const Response sysfs = asked.get("/v1/devices/flaky/stats", {{"format", "sysfs"}});
    CHECK(sysfs.type == "text/plain; charset=utf-8");
    std::istringstream words(sysfs.body);
    const std::vector<std::string> columns(std::istream_iterator<std::string>(words), {});
    CHECK(columns.size() == 17);
    CHECK(columns[0] == "5");
    CHECK(columns[6] == "16");
    CHECK(columns[8] == "12");
    const json said =
        refusal(asked.get("/v1/devices/flaky/stats", {{"format", "sysfz"}}), 400, "bad-format");
    CHECK(said.at("detail") == "did you mean 'sysfs'?");
}

TEST_CASE("steps: a wait answers when the event number has changed, or its time is over") {
    // Its caller may ask again, so no event is missed in between.
    Asked asked;
    const std::string path = "/v1/devices/flaky/wait";
    const auto wait = [&](const std::string& event, const std::string& timeout) {
        const Response answer = asked.get(path, {{"event", event}, {"timeout", timeout}});
        CHECK(answer.status == 200);
        return json::parse(answer.body).at("event_number").get<int>();
    };
    CHECK(wait("6", "1h") == 7);
    CHECK(wait("7", "0s") == 7);
    std::thread later([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        asked.live.raise_event();
    });
    CHECK(wait("7", "25s") == 8);
    later.join();
    refusal(asked.get(path, {}), 400, "bad-event");
    refusal(asked.get(path, {{"event", "-1"}}), 400, "bad-event");
    refusal(asked.get(path, {{"event", "1"}, {"timeout", "5"}}), 400, "bad-timeout");
    refusal(asked.get("/v1/devices/x/wait", {{"event", "1"}}), 404, "no-such-device");
}

TEST_CASE("steps: clients are listed, and dropped by number") {
    // A client that is still negotiating has no export yet; its name may not steer a terminal.
    Asked asked;
    const json clients = json::parse(asked.get("/v1/clients", {}).body).at("clients");
    REQUIRE(clients.size() == 3);
    CHECK(clients[0] == json({{"id", 1},
                              {"peer", "127.0.0.1:40812"},
                              {"export", ""},
                              {"in_flight", 5},
                              {"closing", false}}));
    CHECK(clients[2].at("export").is_null());
    CHECK(json::parse(asked.send("DELETE", "/v1/clients/1").body) == json({{"dropped", 1}}));
    const json none = refusal(asked.send("DELETE", "/v1/clients/9"), 404, "no-such-client");
    CHECK(none.at("title") == "there is no client '9'");
    refusal(asked.send("DELETE", "/v1/clients/x"), 404, "no-such-client");
    refusal(asked.send("DELETE", "/v1/clients/"), 404, "no-such-client");
    CHECK(asked.live.steps() == Steps{"drop 1", "drop 9"});
}

TEST_CASE("steps: what may wait has a thread of its own, and only tables may be long") {
    // Probes must be answered meanwhile, and strangers' bodies cost little.
    const auto thread = [](const std::string& method, const std::string& path) {
        return find_route(method, path).route->thread;
    };
    CHECK(thread("GET", "/livez") == Thread::shared);
    CHECK(thread("GET", "/v1/devices/d/wait") == Thread::of_wait);
    CHECK(thread("POST", "/v1/devices/d/suspend") == Thread::of_wait);
    CHECK(thread("POST", "/v1/devices/d/resume") == Thread::of_change);
    CHECK(thread("DELETE", "/v1/clients/1") == Thread::of_change);
    CHECK(find_route("POST", "/v1/devices/d/load").route->body_bytes_max ==
          limits::table_bytes_max);
    CHECK(find_route("POST", "/v1/devices/d/message").route->body_bytes_max ==
          limits::body_bytes_max);
}
