#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "server/control/api.h"
#include "unit/control_fake.h"

namespace {

using nlohmann::json;
using server::control::Api;
using server::control::Request;
using server::control::Response;

struct Asked {
    FakeLive live;
    Response get(const std::string& path, std::map<std::string, std::string> query = {}) {
        return Api(live).answer(
            {.method = "GET", .path = path, .query = std::move(query), .body = {}});
    }
    json body(const std::string& path, std::map<std::string, std::string> query = {}) {
        return json::parse(get(path, std::move(query)).body);
    }
};

void check_problem(const Response& response, unsigned status, const std::string& type,
                   const std::string& title) {
    CHECK(response.status == status);
    CHECK(response.type == "application/problem+json");
    const json body = json::parse(response.body);
    CHECK(body.at("status") == status);
    CHECK(body.at("type") == type);
    CHECK(body.at("title") == title);
}

}  // namespace

TEST_CASE("api: a list of devices has each one's state and counters") {
    // `info` and `ls` of the command line are made of nothing else.
    const json devices = Asked().body("/v1/devices").at("devices");
    REQUIRE(devices.size() == 3);
    const json& flaky = devices[1];
    CHECK(flaky.at("name") == "flaky");
    CHECK(flaky.at("live_table") == true);
    CHECK(flaky.at("open_count") == 3);
    CHECK(flaky.at("event_number") == 7);
    CHECK(flaky.at("state") == "up, 6.4s left");
    CHECK(flaky.at("ios") == 7);
    CHECK(flaky.at("sectors") == 56);
    CHECK(flaky.at("ops").at("read") == json({{"ios", 5}, {"sectors", 40}, {"time_ns", 900}}));
    CHECK(flaky.at("ops").size() == 5);
    CHECK(flaky.at("stage_one") == 4);
    CHECK(flaky.at("stage_two") == 3);
    CHECK(flaky.at("retried") == 118);
    for (const char* counter : {"retries_exhausted", "splits", "in_flight", "deferred",
                                "waiting_retry", "waiting_overlap", "parked_bytes"}) {
        CHECK(flaky.contains(counter));
    }
}

TEST_CASE("api: what a device stands on comes with the parts issued there") {
    // A store that left the table is no longer below, though its counters remain in the stats.
    Asked asked;
    const json below = asked.body("/v1/devices/flaky").at("below");
    CHECK(below ==
          json::array(
              {{{"name", "joined"}, {"issued", 125}, {"reissued", 118}, {"reissued_fan_out", 0}}}));
    CHECK(asked.body("/v1/devices/flaky/stats").at("below").size() == 2);
    CHECK(asked.body("/v1/devices/joined").at("below")[1].at("issued") == 0);
}

TEST_CASE("api: a table is asked for as dm text or as rows that say all") {
    // Rows can be put into a table file; dm text into dmsetup.
    Asked asked;
    const Response dm = asked.get("/v1/devices/flaky/table");
    CHECK(dm.type == "text/plain; charset=utf-8");
    CHECK(dm.body == "0 2097152 flakey joined 0 9 1 1 drop_writes\n");
    CHECK(asked.get("/v1/devices/flaky/table", {{"format", "dm"}}).body == dm.body);
    const json rows = asked.body("/v1/devices/flaky/table", {{"format", "json"}}).at("table");
    CHECK(rows == json::array({{{"start", 0},
                                {"length", 2097152},
                                {"target", "flakey"},
                                {"args", "joined 0 9 500ms 1 drop_writes"}}}));
    CHECK(asked.body("/v1/devices/joined/table", {{"format", "json"}}).at("table").size() == 2);
    CHECK(asked.body("/v1/devices/remote/table", {{"format", "json"}}).at("table").empty());
    check_problem(asked.get("/v1/devices/flaky/table", {{"format", "yml"}}), 400, "bad-format",
                  "there is no format 'yml'");
}

TEST_CASE("api: status is text") {
    // It is what dmsetup prints, and scripts read that.
    CHECK(Asked().get("/v1/devices/flaky/status").body == "0 2097152 flakey\n");
}

TEST_CASE("api: an unknown device is a 404 that names the closest one, on every route") {
    // A typo must not look like an empty answer.
    for (const char* part : {"", "/table", "/status", "/stats"}) {
        CAPTURE(part);
        const Response response = Asked().get("/v1/devices/flakky" + std::string(part));
        check_problem(response, 404, "no-such-device", "there is no device 'flakky'");
        CHECK(json::parse(response.body).at("detail") == "did you mean 'flaky'?");
    }
    CHECK_FALSE(Asked().body("/v1/devices/zzzzzz").contains("detail"));
}

TEST_CASE("api: unknown paths are a 404") {
    // Also those that only begin like a known one.
    for (const char* path : {"/", "/v1", "/v1/devices/", "/v1/devices/flaky/", "/v1/devices//table",
                             "/v1/devices/flaky/tables", "/v1/devices/flaky/table/x", "/livez/x"}) {
        CAPTURE(path);
        CHECK(Asked().get(path).status == 404);
    }
    CHECK(Asked().body("/v1/devicez").at("detail") == "did you mean '/v1/devices'?");
}

TEST_CASE("api: a method that a path does not know is a 405 that says which it knows") {
    // A POST to a path that only shows things must not pass for done.
    FakeLive live;
    for (const char* path :
         {"/v1/devices", "/v1/devices/flaky", "/v1/devices/flaky/table", "/livez"}) {
        CAPTURE(path);
        const Response response =
            Api(live).answer({.method = "POST", .path = path, .query = {}, .body = "{}"});
        CHECK(response.status == 405);
        CHECK(response.allow == "GET, HEAD");
    }
    CHECK(Api(live).answer({.method = "HEAD", .path = "/livez", .query = {}, .body = {}}).status ==
          200);
}

TEST_CASE("api: stores and exports are listed, and what is lost at exit is marked") {
    // A memory store keeps its promises for the life of the process only, however deep it lies.
    Asked asked;
    const json stores = asked.body("/v1/stores").at("stores");
    CHECK(stores[1] == json({{"name", "img0"},
                             {"type", "file"},
                             {"detail", "disk0.img"},
                             {"size_sectors", 1048576}}));
    const json exports = asked.body("/v1/exports").at("exports");
    CHECK(exports[0].at("name") == "");
    CHECK(exports[0].at("device") == "flaky");
    CHECK(exports[0].at("size_bytes") == 1U << 30);
    CHECK(exports[0].at("connections") == 2);
    CHECK(exports[0].at("volatile") == true);
    CHECK(exports[1].at("volatile") == false);
    CHECK(exports[1].at("read_only") == true);
}

TEST_CASE("api: probes say 200 or 503, and which part is bad") {
    // An orchestrator looks at the number, a person at the parts.
    Asked asked;
    for (const char* probe : {"/livez", "/readyz", "/startupz"}) {
        CAPTURE(probe);
        asked.live.well = true;
        CHECK(asked.get(probe).status == 200);
        CHECK(asked.body(probe) == json({{"good", true}}));
        CHECK(asked.body(probe, {{"verbose", ""}}).at("parts").size() == 2);
        asked.live.well = false;
        const Response bad = asked.get(probe);
        CHECK(bad.status == 503);
        CHECK(bad.type == "application/problem+json");
        CHECK(json::parse(bad.body).at("parts")[1].at("detail") == "does not answer");
    }
}

TEST_CASE("api: an answer is valid JSON whatever the names hold") {
    // A file's path may hold any bytes.
    struct Strange : FakeLive {
        std::vector<server::StoreInfo> stores() override {
            return {{"img", "file", "a\xff\"\n", 1}};
        }
    } live;
    const Response response =
        Api(live).answer({.method = "GET", .path = "/v1/stores", .query = {}, .body = {}});
    CHECK(response.status == 200);
    CHECK(json::parse(response.body).at("stores").size() == 1);
}

TEST_CASE("api: what goes wrong inside is a 500, no end of the program") {
    // Handlers are called from C code that knows no exceptions.
    struct Broken : FakeLive {
        std::vector<server::DeviceInfo> devices() override {
            throw std::runtime_error("no memory");
        }
    } live;
    check_problem(
        Api(live).answer({.method = "GET", .path = "/v1/devices", .query = {}, .body = {}}), 500,
        "internal", "the server could not answer");
}
