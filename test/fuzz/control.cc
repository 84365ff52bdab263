// The control API over a server that only pretends: whatever is asked, the answer is well-formed, a
// change is made by no one who only looks, and who may not ask is refused.
#include <nlohmann/json.hpp>
#include <set>

#include "config/load.h"
#include "fuzz/fuzz.h"
#include "fuzz/input.h"
#include "server/control/access.h"
#include "server/control/api.h"
#include "server/control/routes.h"
#include "unit/control_fake.h"

namespace {

using namespace server;
using namespace server::control;
using fuzz::Input;
using fuzz::must;
using nlohmann::json;

/// Loads for good what it is sent, and never waits.
struct Pretended : FakeLive {
    void load(const std::string& device, const config::TableText& table) override {
        FakeLive::load(device, {table.form, "good"});
        config::DeviceSpec spec;
        spec.name = device;
        dmcore::Limits limits;
        limits.size_sectors = 2097152;
        config::Diagnostics found;
        const std::vector<config::Standing> standing = {{"ram0", false, limits, {}},
                                                        {"img0", false, limits, {}}};
        if (!config::load_table(spec, table, standing, found)) throw BadTable(std::move(found));
    }
    std::uint64_t wait_event(const std::string& device, std::uint64_t seen,
                             std::chrono::steady_clock::time_point) override {
        return FakeLive::wait_event(device, seen, {});
    }
};

struct PretendedConfig : LiveConfig {
    unsigned applied = 0;

    Live live() override { return {"version: 1\n", 7}; }
    Reloads reloads() override { return {.generation = 7, .successes = 2, .failures = 1}; }
    Checked check(const Sent& sent) override {
        Checked checked;
        checked.good = load(sent, checked.found).has_value();
        return checked;
    }
    std::vector<config::Change> plan(const Sent& sent) override {
        config::Diagnostics found;
        const auto spec = load(sent, found);
        if (!spec) throw BadTable(std::move(found));
        return config::diff(config::Spec(), *spec);
    }
    Applied apply(const Sent& sent, const ApplyOptions& how) override {
        if (how.if_generation && *how.if_generation != 7) {
            throw ReloadError(ReloadError::Kind::stale, "stale", "it is generation 7");
        }
        auto changes = plan(sent);
        if (!how.allow_data_loss && changes.size() > 3) {
            throw ReloadError(ReloadError::Kind::refused, "data-loss", "much would be lost",
                              "flag");
        }
        ++applied;
        return {std::move(changes), 8, std::chrono::milliseconds(3), sent.name};
    }

  private:
    static std::optional<config::Spec> load(const Sent& sent, config::Diagnostics& found) {
        config::Surroundings around;
        around.variable = [](const std::string&) { return std::nullopt; };
        around.forbids = [](const std::string&) { return std::optional<std::string>("is far"); };
        return config::load_text(sent.name, sent.text, found, around);
    }
};

std::string device(Input& input) {
    constexpr const char* names[] = {"flaky", "joined", "remote", "flakky", ""};
    return input.byte() % 8 != 7 ? input.pick(names) : input.text();
}

/// One of the routes with a name in it, or near one.
std::string path(Input& input) {
    const auto all = routes();
    std::string text(all[input.below(all.size())].path);
    if (const std::size_t open = text.find('{'); open != std::string::npos) {
        text.replace(open, text.find('}') - open + 1, device(input));
    }
    const std::uint8_t rare = input.byte();
    if (rare == 255) text += input.text();
    if (rare == 254) text = input.text();
    return text;
}

std::map<std::string, std::string> query(Input& input) {
    constexpr const char* keys[] = {"format", "inactive",        "verbose",
                                    "event",  "timeout",         "name",
                                    "device", "allow_data_loss", "allow_shrink"};
    constexpr const char* values[] = {
        "",  "dm", "json", "yaml", "sysfs", "true", "false",
        "7", "8",  "1s",   "0s",   "\x1b",  "10s",  "18446744073709551615"};
    std::map<std::string, std::string> all;
    for (std::uint64_t i = input.below(4); i > 0; --i) {
        std::string key = input.byte() % 16 == 15 ? input.text() : input.pick(keys);
        all[key] = input.byte() % 4 == 3 ? input.text() : input.pick(values);
    }
    return all;
}

std::string body(Input& input) {
    constexpr const char* some[] = {"",
                                    "{}",
                                    R"({"flush":false})",
                                    R"({"dm":"0 8 zero"})",
                                    R"({"dm":"0 8 linear ram0 0"})",
                                    R"({"table":[{"length":8,"target":"zero"}]})",
                                    R"({"sector":0,"text":"quiet a"})",
                                    R"({"text":"bad"})",
                                    "version: 1\nstores: { a: { type: memory, size: 1MiB } }\n"};
    std::string text = input.pick(some);
    const std::uint8_t kind = input.byte();
    if (kind % 4 == 1) text = input.text(input.number(2));
    if (kind % 4 == 2) text.insert(input.below(text.size() + 1), input.text());
    if (kind == 255) text = std::string(input.number(2), '[');
    return text;
}

Request request(Input& input) {
    constexpr const char* methods[] = {"GET", "POST", "HEAD", "DELETE", "PATCH", "PUT"};
    constexpr const char* types[] = {"application/json", "application/yaml", "text/yaml", "",
                                     "text/plain"};
    constexpr const char* generations[] = {"", "7", "\"7\"", "8", "*", "\"", "x"};
    Request asked;
    asked.path = path(input);
    const FoundRoute found = find_route("GET", asked.path);
    const bool is_get = found.route != nullptr;
    // Mostly the right one.
    asked.method = input.byte() % 4 == 3 ? input.pick(methods) : is_get ? "GET" : "POST";
    asked.query = query(input);
    asked.content_type = input.pick(types);
    asked.body = body(input);
    asked.if_match = input.pick(generations);
    return asked;
}

void check_json(const Response& response) {
    const bool problem = response.type == "application/problem+json";
    must(problem == (response.status >= 400), "what goes wrong is a problem");
    if (!problem && response.type != "application/json") return;
    const json body = json::parse(response.body, nullptr, false);
    must(!body.is_discarded() && body.is_object(), "JSON is an object");
    if (!problem) return;
    must(body.at("status") == response.status, "a problem repeats its status");
    must(!body.at("type").get<std::string>().empty(), "a problem has a type");
    must(!body.at("title").get<std::string>().empty(), "a problem has a title");
}

void check_answer(const Request& asked, const Response& response) {
    static const std::set<unsigned> known = {200, 400, 404, 405, 409, 412, 415, 422, 503};
    must(known.contains(response.status), "the status is one of the API's");
    must((response.status == 405) == !response.allow.empty(), "405 names what is allowed");
    must(response.events == nullptr || response.body.empty(), "events are all there is");
    must(response.etag.empty() || response.status == 200, "who fails has no version");
    check_json(response);
    const FoundRoute found = find_route(asked.method, asked.path);
    must(found.route != nullptr || response.status == (found.allow.empty() ? 404 : 405),
         "no route, no answer");
}

/// Requests one after another, to one server.
void ask(Input& input) {
    Pretended live;
    PretendedConfig config;
    const bool has_config = input.byte() % 8 != 7;
    Api api(live, has_config ? &config : nullptr);
    for (int i = 0; i < 16 && !input.empty(); ++i) {
        const Request asked = request(input);
        const std::size_t steps = live.steps().size();
        const unsigned applied = config.applied;
        const Response response = api.answer(asked);
        check_answer(asked, response);
        const std::size_t taken = live.steps().size() - steps;
        const bool waits = asked.path.ends_with("/wait");
        must(taken <= 1 && config.applied - applied <= 1, "one request is one step at most");
        must(!looks(asked.method) || waits || taken + config.applied - applied == 0,
             "who looks changes nothing");
        const bool refused =
            response.status == 400 || response.status == 415 || response.status == 405;
        must(!refused || taken + config.applied - applied == 0, "who is refused changes nothing");
    }
}

/// Whoever gets in over TCP is allowed to.
void knock(Input& input) {
    constexpr const char* hosts[] = {"",          "localhost",      "127.0.0.1:80",   "[::1]:80",
                                     "evil.com",  "disk.internal",  "localhost.evil", "[::1",
                                     "0x7f.1:80", "127.0.0.1.evil", "[::1]x:80",      ":80"};
    constexpr const char* origins[] = {"", "http://localhost", "http://evil.com", "null"};
    const auto word = [&](const auto& some) {
        return input.byte() % 4 == 3 ? input.text() : std::string(input.pick(some));
    };
    Caller caller;
    const std::uint8_t kind = input.byte();
    if (kind % 4 == 0) caller.uid = static_cast<uid_t>(input.below(3));
    caller.method = kind % 8 < 4 ? "GET" : "POST";
    caller.host = word(hosts);
    caller.origin = word(origins);
    caller.authorization = input.flag() ? "Bearer " + input.text() : input.text();
    const TcpRules rules{.own_host = kind % 16 < 8 ? "disk.internal" : "",
                         .may_change = kind % 32 < 16,
                         .token_path = kind % 64 < 32 ? "/no/such/token" : ""};
    const auto refusal = refused(caller, 1, rules);
    if (refusal) {
        must(refusal->status >= 400, "a refusal is one");
        return check_json(*refusal);
    }
    if (caller.uid) return must(*caller.uid < 2, "a socket is its user's and root's");
    const bool changes = !looks(caller.method);
    must(!changes || (rules.may_change && rules.token_path.empty()), "who only looks gets in");
    must(caller.host.find("evil") == std::string::npos, "no foreign name gets in");
    must(caller.origin.find("evil") == std::string::npos, "no foreign page gets in");
}

}  // namespace

int fuzz_control(std::span<const std::uint8_t> bytes) {
    Input input(bytes);
    if (input.byte() % 8 == 7) {
        knock(input);
    } else {
        ask(input);
    }
    return 0;
}
