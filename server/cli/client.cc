#include "server/cli/client.h"

#include <httplib.h>

#include "server/cli/exit.h"

namespace server::cli {
namespace {

constexpr time_t connect_seconds_max = 2;
constexpr time_t answer_seconds_max = 10;

/// What the server refused, as the exit code that scripts look at.
Failure failure_of(const Client::Answer& answer) {
    const Json problem = Json::parse(answer.body, nullptr, false);
    if (!problem.is_object() || !problem.value("title", Json()).is_string()) {
        return {exits::failed, "the server answered with status " + std::to_string(answer.status),
                "is this the control address of a dmnbd?"};
    }
    const std::string type = problem.value("type", "");
    int code = exits::failed;
    if (answer.status == 404 && type.starts_with("no-such-") && type != "no-such-path") {
        code = exits::no_such;
    }
    if (answer.status == 409) code = exits::in_use;
    const std::string fallback = type == "no-such-device" ? "dmnbd ls lists them all" : "";
    return {code, problem.value("title", ""), problem.value("detail", fallback)};
}

}  // namespace

struct Client::Connection {
    explicit Connection(const Address& address)
        : http(address.path.empty() ? address.host : address.path,
               address.path.empty() ? address.port : 80) {
        if (!address.path.empty()) {
            http.set_address_family(AF_UNIX);
            http.set_default_headers({{"Host", "localhost"}});
        }
        http.set_keep_alive(true);
        http.set_connection_timeout(connect_seconds_max);
        http.set_read_timeout(answer_seconds_max);
        http.set_write_timeout(answer_seconds_max);
        http.set_url_encode(false);  // Paths come encoded.
    }

    httplib::Client http;
};

Client::Client(const Address& address)
    : address_(address), connection_(std::make_unique<Connection>(address)) {}

Client::~Client() = default;

Client::Answer Client::ask(const std::string& path) {
    const httplib::Result result = connection_->http.Get(path);
    if (result) return {result->status, result->body};
    const bool silent = result.error() == httplib::Error::Read;
    throw Failure(
        exits::no_server,
        (silent ? "the server gives no answer at " : "no server answers at ") + address_.text(),
        silent ? "it may be busy or stopping; look at its log"
               : "start one with `dmnbd demo` or `dmnbd serve FILE`, or name its socket "
                 "with --control");
}

std::string Client::text(const std::string& path) {
    Answer answer = ask(path);
    if (answer.status != 200) throw failure_of(answer);
    return std::move(answer.body);
}

Json Client::json(const std::string& path) {
    Json body = Json::parse(text(path), nullptr, false);
    if (body.is_discarded()) {
        throw Failure(exits::failed, "what answers at " + address_.text() + " is not a dmnbd");
    }
    return body;
}

std::string device_path(const std::string& name) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string path = "/v1/devices/";
    for (const char letter : name) {
        const auto code = static_cast<unsigned char>(letter);
        if (std::isalnum(code) != 0 || letter == '.' || letter == '_' || letter == '-') {
            path += letter;
        } else {
            path += {'%', digits[code >> 4], digits[code & 15]};
        }
    }
    return path;
}

}  // namespace server::cli
