// Why: what the control API says of the table file is what editors and scripts act on.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "server/control/api.h"
#include "server/control/routes.h"
#include "server/live.h"
#include "unit/control_fake.h"

using namespace server;
using namespace server::control;
using Json = nlohmann::ordered_json;

namespace {

struct FakeConfig : LiveConfig {
    Sent sent;
    ApplyOptions options;
    std::optional<ReloadError> refuses;

    Live live() override { return {"version: 1\n", 7}; }
    Reloads reloads() override { return {.generation = 7, .successes = 2, .failures = 1}; }
    Checked check(const Sent& text) override {
        note(text);
        return {true, {}};
    }
    std::vector<config::Change> plan(const Sent& text) override {
        note(text);
        return {{config::Change::Kind::add, "device", "d", "1 segment"}};
    }
    Applied apply(const Sent& text, const ApplyOptions& how) override {
        note(text);
        options = how;
        if (refuses) throw ReloadError(*refuses);
        return {plan(text), 8, std::chrono::milliseconds(3), "until t changes"};
    }

  private:
    void note(const Sent& text) {
        sent = text;
        if (text.text != "bad") return;
        config::Diagnostics found;
        found.error({}, {"table-gap", "a gap", {}, {}});
        throw BadTable(std::move(found));
    }
};

struct Asking {
    FakeLive live;
    FakeConfig config;
    Api api{live, &config};

    Response post(const std::string& path, const std::string& body,
                  const std::map<std::string, std::string>& query = {},
                  const std::string& if_match = {}, const std::string& type = "application/yaml") {
        return api.answer({"POST", "/v1/config/" + path, query, body, type, if_match});
    }
    static std::string slug(const Response& response) {
        return Json::parse(response.body).at("type");
    }
};

}  // namespace

TEST_CASE_FIXTURE(Asking, "GET /v1/config is the live file, and its generation as ETag") {
    const Response answer = api.answer({"GET", "/v1/config", {}, {}, {}, {}});
    CHECK(answer.status == 200);
    CHECK(answer.type == "application/yaml");
    CHECK(answer.body == "version: 1\n");
    CHECK(answer.etag == "\"7\"");
    CHECK(api.answer({"DELETE", "/v1/config", {}, {}, {}, {}}).allow == "GET, HEAD");
    CHECK(api.answer({"GET", "/v1/config/plan", {}, {}, {}, {}}).allow == "POST");
    CHECK(api.answer({"GET", "/v1/config/x", {}, {}, {}, {}}).status == 404);
    CHECK(Api(live).answer({"GET", "/v1/config", {}, {}, {}, {}}).status == 404);
}

TEST_CASE_FIXTURE(Asking, "a plan has its changes and the text for people") {
    const Json plan = Json::parse(post("plan", "text", {{"name", "t.yaml"}}).body);
    CHECK(config.sent.name == "t.yaml");
    CHECK(config.sent.text == "text");
    CHECK(plan.at("changes").at(0).at("kind") == "add");
    CHECK(plan.at("changes").at(0).at("risk") == "none");
    CHECK(plan.at("text") == "  + device d  1 segment\n1 to add, 0 to change, 0 to remove\n");
}

TEST_CASE_FIXTURE(Asking, "a table that is not good is told as such by all three") {
    for (const char* path : {"check", "plan", "apply"}) {
        CAPTURE(path);
        const Response answer = post(path, "bad");
        CHECK(answer.status == 422);
        CHECK(slug(answer) == "table-gap");
    }
    CHECK(Json::parse(post("check", "good").body).at("good") == true);
}

TEST_CASE_FIXTURE(Asking, "apply passes on what is allowed, and answers with the generation") {
    const Response answer =
        post("apply", "text", {{"allow_shrink", ""}, {"timeout", "1m"}}, "\"7\"");
    CHECK(answer.status == 200);
    CHECK(answer.etag == "\"8\"");
    CHECK(config.options.allow_shrink);
    CHECK_FALSE(config.options.allow_data_loss);
    CHECK(config.options.timeout == std::chrono::minutes(1));
    CHECK(config.options.if_generation == 7);
    const Json body = Json::parse(answer.body);
    CHECK(body.at("generation") == 8);
    CHECK(body.at("pause_ms") == 3.0);
    CHECK(body.at("note") == "until t changes");
    post("apply", "text", {{"allow_data_loss", "true"}, {"allow_shrink", "false"}});
    CHECK(config.options.allow_data_loss);
    CHECK_FALSE(config.options.allow_shrink);
    CHECK_FALSE(config.options.if_generation.has_value());
}

TEST_CASE_FIXTURE(Asking, "what can't be meant is refused before anything is done") {
    CHECK(post("apply", "text", {{"timeout", "soon"}}).status == 400);
    CHECK(post("apply", "text", {{"allow_shrink", "maybe"}}).status == 400);
    CHECK(post("apply", "text", {}, "\"x\"").status == 400);
    CHECK(post("apply", "text", {}, {}, "text/plain").status == 415);
    CHECK(post("plan", "text", {}, {}, "").status == 415);
    CHECK(config.sent.text.empty());
    CHECK(post("plan", "{}", {}, {}, "application/json").status == 200);
}

TEST_CASE_FIXTURE(Asking, "why a reload was not made has a status of its own") {
    using Kind = ReloadError::Kind;
    const std::pair<Kind, unsigned> all[] = {{Kind::refused, 409},
                                             {Kind::failed, 422},
                                             {Kind::late, 504},
                                             {Kind::stale, 412},
                                             {Kind::stopping, 503}};
    for (const auto& [kind, status] : all) {
        config.refuses.emplace(kind, "data-loss", "it would lose", "--allow-data-loss allows it");
        const Response answer = post("apply", "text");
        CHECK(answer.status == status);
        CHECK(slug(answer) == "data-loss");
        CHECK(Json::parse(answer.body).at("detail") == "--allow-data-loss allows it");
    }
}

TEST_CASE("a table file may be as long to the API as it may be on disk") {
    CHECK(find_route("POST", "/v1/config/apply").route->body_bytes_max == 16U << 20);
    CHECK(find_route("POST", "/v1/config/apply").route->thread == Thread::of_change);
}
