#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "server/cli/cli.h"
#include "server/cli/exit.h"
#include "server/control/api.h"
#include "server/control/http.h"
#include "unit/control_fake.h"

/// Running the command line as a user would, against a server that only pretends.
namespace cli_test {

namespace exits = server::cli::exits;

struct Outcome {
    int code;
    std::string out;
    std::string err;
};

inline Outcome run(std::vector<std::string> arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = server::cli::run(arguments, out, err);
    return {code, out.str(), err.str()};
}

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// A server, and the command line pointed at it.
struct Fixture {
    ScratchFolder folder;
    FakeLive live;
    server::control::Api api{live};
    server::control::ControlServer server{
        [this](const server::control::Request& request) { return api.answer(request); }};
    std::string path = folder / "c";

    Fixture() { server.listen_unix(path, 0600); }
    Outcome ask(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"--control", path});
        return run(std::move(arguments));
    }
};

}  // namespace cli_test
