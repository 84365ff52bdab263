#include "server/cli/client.h"

#include <httplib.h>

#include "server/cli/exit.h"
#include "server/control/access.h"

namespace server::cli {
namespace {

constexpr time_t connect_seconds_max = 2;
constexpr time_t answer_seconds_max = 10;
/// Of a change. Some 20 days, the most that fits a poll(2).
constexpr time_t change_seconds_max = 1'728'000;

/// Refused because the device is not in the state for it, not because somebody would be harmed.
bool is_about_state(std::string_view type) {
    return type == "no-table" || type == "taken-back";
}

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
    if (answer.status == 409 && !is_about_state(type)) code = exits::in_use;
    const std::string fallback = type == "no-such-device"   ? "dmnbd ls lists them all"
                                 : type == "no-such-client" ? "dmnbd clients lists them all"
                                                            : "";
    Failure failure(code, problem.value("title", ""), problem.value("detail", fallback));
    failure.report = problem.value("report", "");
    return failure;
}

std::string token_of(const char* file) {
    try {
        return control::read_token(file);
    } catch (const std::runtime_error& error) {
        throw Failure(exits::failed, std::string("DMNBD_TOKEN_FILE: ") + error.what());
    }
}

std::string body_of(const Client::Answer& answer) {
    if (answer.status != 200) throw failure_of(answer);
    return answer.body;
}

}  // namespace

struct Client::Connection {
    explicit Connection(const Address& to)
        : http(to.path.empty() ? to.host : to.path, to.path.empty() ? to.port : 80),
          address(to.text()) {
        if (!to.path.empty()) {
            http.set_address_family(AF_UNIX);
            http.set_default_headers({{"Host", "localhost"}});
        } else if (const char* file = std::getenv("DMNBD_TOKEN_FILE")) {
            http.set_bearer_token_auth(token_of(file));
        }
        http.set_keep_alive(true);
        http.set_connection_timeout(connect_seconds_max);
        http.set_write_timeout(answer_seconds_max);
        http.set_url_encode(false);  // Paths come encoded.
    }

    Answer answer_of(const httplib::Result& result) const;

    httplib::Client http;
    const std::string address;
};

Client::Client(const Address& address) : connection_(std::make_unique<Connection>(address)) {}

Client::~Client() = default;

/// Throws Failure if there is no answer.
Client::Answer Client::Connection::answer_of(const httplib::Result& result) const {
    if (result) return {result->status, result->body};
    const bool silent = result.error() == httplib::Error::Read;
    throw Failure(exits::no_server,
                  (silent ? "the server gives no answer at " : "no server answers at ") + address,
                  silent ? "it may be busy or stopping; look at its log"
                         : "start one with `dmnbd demo` or `dmnbd serve FILE`, or name its socket "
                           "with --control");
}

Client::Answer Client::ask(const std::string& path) {
    connection_->http.set_read_timeout(answer_seconds_max);
    return connection_->answer_of(connection_->http.Get(path));
}

std::string Client::text(const std::string& path) {
    return body_of(ask(path));
}

Json Client::json(const std::string& path) {
    return json_of(ask(path));
}

Json Client::post(const std::string& path, const std::string& body, const char* type) {
    connection_->http.set_read_timeout(change_seconds_max);
    return json_of(connection_->answer_of(connection_->http.Post(path, body, type)));
}

Json Client::remove(const std::string& path) {
    connection_->http.set_read_timeout(change_seconds_max);
    return json_of(connection_->answer_of(connection_->http.Delete(path)));
}

Json Client::json_of(const Answer& answer) const {
    Json body = Json::parse(body_of(answer), nullptr, false);
    if (body.is_discarded()) {
        throw Failure(exits::failed, "what answers at " + connection_->address + " is not a dmnbd");
    }
    return body;
}

std::string json_text(const Json& value) {
    try {
        return value.dump();
    } catch (const Json::type_error&) {
        throw Failure(exits::failed, "the text is not UTF-8");
    }
}

std::string url_encoded(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string encoded;
    for (const char letter : text) {
        const auto code = static_cast<unsigned char>(letter);
        if (std::isalnum(code) != 0 || letter == '.' || letter == '_' || letter == '-') {
            encoded += letter;
        } else {
            encoded += {'%', digits[code >> 4], digits[code & 15]};
        }
    }
    return encoded;
}

std::string device_path(const std::string& name) {
    return "/v1/devices/" + url_encoded(name);
}

}  // namespace server::cli
