#include "server/control/access.h"

#include <arpa/inet.h>

#include <fstream>
#include <stdexcept>
#include <string_view>

#include "config/diagnostic.h"

namespace server::control {
namespace {

/// `host` of "host:port" or "[host]:port".
std::string name_of(std::string_view host_and_port) {
    if (host_and_port.starts_with('[')) {
        const std::size_t end = host_and_port.find(']');
        return std::string(host_and_port.substr(1, end == std::string_view::npos ? end : end - 1));
    }
    return std::string(host_and_port.substr(0, host_and_port.find(':')));
}

bool is_address(const std::string& name) {
    in6_addr address{};
    return ::inet_pton(AF_INET, name.c_str(), &address) == 1 ||
           ::inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

/// Takes as long whatever is wrong.
bool same(std::string_view given, std::string_view wanted) {
    unsigned difference = given.size() == wanted.size() ? 0 : 1;
    for (std::size_t i = 0; i < given.size(); ++i) {
        difference |= static_cast<unsigned char>(given[i] ^ wanted[i % wanted.size()]);
    }
    return difference == 0;
}

std::optional<Response> without_token(const Caller& caller, const std::string& path) {
    std::string token;
    try {
        token = read_token(path);
    } catch (const std::runtime_error& error) {
        return problem(503, "no-token", error.what(),
                       "nobody can change things over TCP until then");
    }
    if (same(caller.authorization, "Bearer " + token)) return {};
    Response response =
        problem(401, "unauthorized", "changes over TCP need the token of this server",
                "send Authorization: Bearer and what 'token_file' of 'control' holds");
    response.challenge = "Bearer";
    return response;
}

}  // namespace

std::string read_token(const std::string& path) {
    constexpr std::size_t least = 16;
    std::ifstream file(path);
    std::string token;
    std::getline(file, token);
    if (!file && token.empty()) throw std::runtime_error("can't read the token file " + path);
    token.erase(token.find_last_not_of(" \t\r") + 1);
    if (token.size() < least || token.find_first_of(" \t") != std::string::npos) {
        throw std::runtime_error("the token file " + path +
                                 " must begin with 16 or more characters without blanks");
    }
    return token;
}

std::optional<Response> refused(const Caller& caller, uid_t own_uid, const TcpRules& rules) {
    if (caller.uid && *caller.uid != 0 && *caller.uid != own_uid) {
        return problem(403, "wrong-user", "this server belongs to another user",
                       "only user " + std::to_string(own_uid) + " and root may control it");
    }
    if (!caller.origin.empty() && caller.origin != "http://" + caller.host) {
        return problem(403, "foreign-origin",
                       "a page from " + config::in_quotes(caller.origin) + " may not ask here");
    }
    if (caller.uid) return {};
    const std::string name = name_of(caller.host);
    if (name != "localhost" && name != rules.own_host && !is_address(name)) {
        return problem(403, "unknown-host", "this server is not " + config::in_quotes(name),
                       "use its address, or the host of 'control.http'");
    }
    if (!looks(caller.method) && !rules.may_change) {
        return problem(403, "read-only", "over TCP this server can only be looked at",
                       "change it through its unix socket, or set http_write: true in 'control'");
    }
    if (looks(caller.method) || rules.token_path.empty()) return {};
    return without_token(caller, rules.token_path);
}

}  // namespace server::control
