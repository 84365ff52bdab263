// Why: a description that leaves calls out, or describes some that there are not, is worse than
// none.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "server/control/api.h"
#include "server/control/routes.h"
#include "unit/control_fake.h"

using nlohmann::json;
using server::control::Api;
using server::control::find_route;
using server::control::routes;

namespace {

json description() {
    FakeLive live;
    return json::parse(
        Api(live)
            .answer({.method = "GET", .path = "/v1/openapi.json", .query = {}, .body = {}})
            .body);
}

}  // namespace

TEST_CASE("openapi: every call is described, and nothing else") {
    std::set<std::string> described;
    const json document = description();
    for (const auto& [path, calls] : document.at("paths").items()) {
        for (const auto& [method, call] : calls.items()) {
            std::string upper = method;
            for (char& letter : upper) letter = static_cast<char>(std::toupper(letter));
            described.insert(upper + ' ' + path);
            CHECK(call.at("responses").contains("200"));
            CHECK(call.at("responses").contains("default"));
        }
    }
    std::set<std::string> served;
    for (const auto& route : routes()) {
        served.insert(std::string(route.method) + ' ' + std::string(route.path));
    }
    CHECK(described == served);
    CHECK(served.size() == routes().size());
}

TEST_CASE("openapi: what a path holds in braces is a parameter of each of its calls") {
    const json document = description();
    for (const auto& [path, calls] : document.at("paths").items()) {
        const std::size_t open = path.find('{');
        for (const auto& [method, call] : calls.items()) {
            CAPTURE(path);
            std::set<std::string> names;
            if (call.contains("parameters")) {
                for (const auto& each : call.at("parameters")) {
                    if (each.at("in") == "path") names.insert(each.at("name"));
                }
            }
            std::set<std::string> wanted;
            if (open != std::string::npos) {
                wanted.insert(path.substr(open + 1, path.find('}') - open - 1));
            }
            CHECK(names == wanted);
        }
    }
}

TEST_CASE("routes: a name has no slash, and may look like anything else") {
    CHECK(find_route("GET", "/v1/devices/a{b}/table").name == "a{b}");
    CHECK(find_route("GET", "/v1/devices/table/table").name == "table");
    CHECK(find_route("HEAD", "/v1/devices/d").route == find_route("GET", "/v1/devices/d").route);
    CHECK(find_route("GET", "/v1/devices/a/b").route == nullptr);
    CHECK(find_route("GET", "/v1/devices/table").name == "table");
    CHECK(find_route("POST", "/v1/devices/d/table").allow == "GET, HEAD");
    CHECK(find_route("POST", "/nothing").allow.empty());
}
