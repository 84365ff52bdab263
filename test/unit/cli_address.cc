#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "server/cli/address.h"
#include "server/cli/client.h"
#include "server/cli/exit.h"
#include "server/control/paths.h"
#include "server/net/sockets.h"
#include "unit/control_fake.h"

namespace {

using namespace server::cli;

/// Sets an environment variable until the end of the test.
class Variable {
  public:
    Variable(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name)) before_ = before;
        ::setenv(name, value.c_str(), 1);
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable() {
        if (before_)
            ::setenv(name_, before_->c_str(), 1);
        else
            ::unsetenv(name_);
    }

  private:
    const char* name_;
    std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("address: a path, unix: or http:// are understood") {
    // The three forms of --control.
    CHECK(parse_address("/run/x.sock") == Address{.path = "/run/x.sock", .host = {}, .port = 0});
    CHECK(parse_address("unix:x.sock").path == "x.sock");
    CHECK(parse_address("http://localhost:80") ==
          Address{.path = {}, .host = "localhost", .port = 80});
    CHECK(parse_address("http://[::1]:10810/") ==
          Address{.path = {}, .host = "::1", .port = 10810});
    CHECK(parse_address("unix:x").text() == "unix:x");
    CHECK(parse_address("http://[::1]:1").text() == "http://[::1]:1");
}

TEST_CASE("address: what is none of them is wrong usage") {
    // Exit code 2, not a search for a file of that name.
    for (const char* text :
         {"", "unix:", "http://", "http://x", "http://x:", "http://x:0", "http://x:65536",
          "http://x:1x", "http://:1", "http://::1:80", "http://[::1]", "https://x:1"}) {
        CAPTURE(text);
        try {
            parse_address(text);
            FAIL("accepted");
        } catch (const Failure& failure) {
            CHECK(failure.code == exits::usage);
            CHECK_FALSE(failure.help.empty());
        }
    }
}

TEST_CASE("address: the flag comes before the environment") {
    // The order that is promised: flag, environment, table file, default.
    const Variable variable("DMNBD_CONTROL", "/from/environment");
    CHECK(client_address("/from/flag").path == "/from/flag");
    CHECK(client_address("").path == "/from/environment");
    CHECK(server_path("unix:/from/flag") == "/from/flag");
    CHECK(server_path("") == "/from/environment");
    CHECK_THROWS_AS(server_path("http://127.0.0.1:1"), Failure);
}

TEST_CASE("address: by default a client finds what a server made") {
    // Both sides search the same folders.
    const ScratchFolder folder;
    const Variable control("DMNBD_CONTROL", "");
    const Variable runtime("RUNTIME_DIRECTORY", folder.path() + ":/somewhere/else");
    CHECK(server_path("").empty());
    const std::string path = server::control::make_default_path();
    CHECK(path == folder / "control.sock");
    CHECK(server::control::find_default_path() != path);  // Nothing there yet.
    const server::Socket socket = server::listen_unix(path, 0600);
    CHECK(client_address("").path == path);
}

TEST_CASE("address: a new folder for the socket is private, a link to one is not taken") {
    // In /tmp somebody else may have been there first.
    const ScratchFolder folder;
    {
        const Variable runtime("RUNTIME_DIRECTORY", folder / "new");
        CHECK(server::control::make_default_path() == folder / "new/control.sock");
        struct stat made {};
        REQUIRE(::stat((folder / "new").c_str(), &made) == 0);
        CHECK((made.st_mode & 0777) == 0700);
    }
    std::filesystem::create_directory_symlink(folder / "new", folder / "link");
    const Variable runtime("RUNTIME_DIRECTORY", folder / "link");
    CHECK(server::control::make_default_path() != folder / "link/control.sock");
}

TEST_CASE("address: root finds the server of a user whom root has given a folder" *
          doctest::skip(::geteuid() != 0)) {
    // As of a service with DynamicUser=. In /tmp it may be anybody's, and root stays away.
    const ScratchFolder folder;  // Of mode 0700.
    const std::string there = folder / "there";
    std::filesystem::create_directory(there);
    REQUIRE(::chown(there.c_str(), 12345, 12345) == 0);
    const server::Socket socket = server::listen_unix(there + "/control.sock", 0600);
    const Variable control("DMNBD_CONTROL", "");
    const Variable runtime("RUNTIME_DIRECTORY", there);
    CHECK(client_address("").path == there + "/control.sock");
    REQUIRE(::chmod(folder.path().c_str(), 0777) == 0);
    CHECK(server::control::find_default_path() != there + "/control.sock");
}

TEST_CASE("address: a device's name can't leave its path") {
    // "../x" or "a?b" from a command line is a name, nothing more.
    CHECK(device_path("big_1.2-x") == "/v1/devices/big_1.2-x");
    CHECK(device_path("../a?b") == "/v1/devices/..%2Fa%3Fb");
    CHECK(device_path("a+b c") == "/v1/devices/a%2Bb%20c");
}
