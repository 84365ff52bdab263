#include <doctest/doctest.h>

#include <fstream>

#include "server/control/access.h"
#include "unit/control_fake.h"

namespace {

using server::control::Caller;
using server::control::refused;

constexpr uid_t own_uid = 1000;

bool may(const Caller& caller) {
    return !refused(caller, own_uid, {.own_host = "disk.example"});
}

Caller tcp(const std::string& host, const std::string& origin = {},
           const std::string& method = "GET") {
    return {.uid = {}, .method = method, .host = host, .origin = origin};
}

Caller local(uid_t uid, const std::string& method = "GET", const std::string& origin = {}) {
    return {.uid = uid, .method = method, .host = "localhost", .origin = origin};
}

}  // namespace

TEST_CASE("access: a unix socket serves its user and root, and nobody else") {
    // The file's mode may be wider than the user thought.
    CHECK(may(local(own_uid)));
    CHECK(may(local(0)));
    CHECK_FALSE(may(local(1001)));
    CHECK(may(local(own_uid, "POST")));
    CHECK(refused(local(1001), own_uid, {})->status == 403);
}

TEST_CASE("access: TCP can only be looked at") {
    // Whoever is on the machine can reach it.
    CHECK(may(tcp("127.0.0.1:10810")));
    CHECK(may(tcp("127.0.0.1:10810", "", "HEAD")));
    for (const char* method : {"POST", "PATCH", "DELETE", "PUT", "OPTIONS", "get"}) {
        CHECK_FALSE(may(tcp("127.0.0.1:10810", "", method)));
    }
}

TEST_CASE("access: TCP may change things where the table says so, under the same names") {
    // http_write: true.
    const server::control::TcpRules rules{.own_host = "disk.example", .may_change = true};
    CHECK_FALSE(refused(tcp("127.0.0.1:10810", "", "POST"), own_uid, rules));
    CHECK(refused(tcp("evil.example", "", "POST"), own_uid, rules)->status == 403);
    CHECK(refused(tcp("localhost", "http://evil.example", "POST"), own_uid, rules)->status == 403);
}

TEST_CASE("access: TCP wants a Host that nobody else can point here") {
    // DNS rebinding: a web page's own name that suddenly resolves to 127.0.0.1.
    for (const char* host : {"localhost", "localhost:1", "127.0.0.1", "10.1.2.3:80", "[::1]",
                             "[::1]:10810", "disk.example:10810"}) {
        CAPTURE(host);
        CHECK(may(tcp(host)));
    }
    for (const char* host : {"", "evil.example", "evil.example:10810", "localhost.evil.example",
                             "127.0.0.1.evil.example", "[", "[]", ":80"}) {
        CAPTURE(host);
        CHECK_FALSE(may(tcp(host)));
    }
}

TEST_CASE("access: a page of another origin may not ask") {
    // A browser sends Origin with every request across sites.
    CHECK(may(tcp("localhost:10810", "http://localhost:10810")));
    CHECK_FALSE(may(tcp("localhost:10810", "http://evil.example")));
    CHECK_FALSE(may(tcp("localhost:10810", "https://localhost:10810")));
    CHECK_FALSE(may(tcp("localhost:10810", "null")));
    CHECK_FALSE(may(local(own_uid, "POST", "http://evil.example")));
}

TEST_CASE("access: changes over TCP need the token of the file, as it is now") {
    // Off loopback anybody can reach it; a token is replaced without a restart.
    const ScratchFolder folder;
    const std::string path = folder / "token";
    const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
    const server::control::TcpRules rules{
        .own_host = "disk.example", .may_change = true, .token_path = path};
    const auto status = [&](const std::string& authorization, const std::string& method = "POST") {
        Caller caller = tcp("disk.example", "", method);
        caller.authorization = authorization;
        const auto refusal = refused(caller, own_uid, rules);
        return refusal ? refusal->status : 200;
    };
    CHECK(status("Bearer 0123456789abcdef") == 503);
    write("0123456789abcdef\n");
    CHECK(status("Bearer 0123456789abcdef") == 200);
    for (const char* wrong :
         {"", "Bearer", "Bearer ", "Bearer 0123456789abcdeg", "0123456789abcdef",
          "Bearer 0123456789abcdef0", "Bearer 0123456789abcde", "Basic x"}) {
        CAPTURE(wrong);
        CHECK(status(wrong) == 401);
    }
    CHECK(status("", "GET") == 200);
    CHECK(refused(tcp("disk.example", "", "DELETE"), own_uid, rules)->challenge == "Bearer");
    write("fedcba9876543210");
    CHECK(status("Bearer 0123456789abcdef") == 401);
    CHECK(status("Bearer fedcba9876543210") == 200);
    CHECK_FALSE(refused(local(own_uid, "POST"), own_uid, rules));
}

TEST_CASE("access: a token that is easy to guess is none") {
    const ScratchFolder folder;
    const std::string path = folder / "token";
    for (const char* bad : {"", "\n", "short", "0123456789abcde\n", "0123456789 abcdef"}) {
        std::ofstream(path) << bad;
        CHECK_THROWS_WITH_AS(server::control::read_token(path), doctest::Contains(path.c_str()),
                             std::runtime_error);
    }
    std::ofstream(path) << "0123456789abcdef \nwhat follows is ignored";
    CHECK(server::control::read_token(path) == "0123456789abcdef");
    CHECK_THROWS_AS(server::control::read_token(folder / "none"), std::runtime_error);
}
