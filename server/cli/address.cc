#include "server/cli/address.h"

#include <cstdlib>

#include "config/diagnostic.h"
#include "config/values.h"
#include "server/cli/exit.h"
#include "server/control/paths.h"

namespace server::cli {
namespace {

constexpr std::string_view http_scheme = "http://";
constexpr std::string_view unix_scheme = "unix:";
constexpr const char* forms = "write PATH, unix:PATH or http://HOST:PORT";

[[noreturn]] void bad(std::string_view text, const std::string& why) {
    throw Failure(exits::usage, config::in_quotes(text) + " is not a control address: " + why,
                  forms);
}

Address parse_http(std::string_view text) {
    std::string_view rest = text.substr(http_scheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || rest.ends_with(']')) bad(text, "it has no port");
    const auto port = config::parse_count(rest.substr(colon + 1), 65535);
    if (!port || *port == 0) bad(text, "a port is a number from 1 to 65535");
    std::string_view host = rest.substr(0, colon);
    const bool bracketed = host.starts_with('[') && host.ends_with(']');
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (host.empty()) bad(text, "it has no host");
    if (!bracketed && host.find(':') != std::string_view::npos) {
        bad(text, "an IPv6 address stands in brackets");
    }
    return {.path = {}, .host = std::string(host), .port = static_cast<std::uint16_t>(*port)};
}

std::string flag_or_environment(const std::string& flag) {
    if (!flag.empty()) return flag;
    const char* value = std::getenv("DMNBD_CONTROL");
    return value == nullptr ? std::string() : value;
}

}  // namespace

std::string Address::text() const {
    if (!path.empty()) return "unix:" + path;
    const bool ipv6 = host.find(':') != std::string::npos;
    return "http://" + (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Address parse_address(std::string_view text) {
    if (text.starts_with(http_scheme)) return parse_http(text);
    if (text.starts_with("https://")) bad(text, "there is no TLS for control");
    std::string_view path = text;
    if (path.starts_with(unix_scheme)) path.remove_prefix(unix_scheme.size());
    if (path.empty()) bad(text, "it has no path");
    return {.path = std::string(path), .host = {}, .port = 0};
}

Address client_address(const std::string& flag) {
    const std::string given = flag_or_environment(flag);
    if (!given.empty()) return parse_address(given);
    const std::string path = control::find_default_path();
    if (path.empty()) {
        throw Failure(exits::no_server, "no server is running here",
                      "start one with `dmnbd demo` or `dmnbd serve FILE`; if it runs with another "
                      "control socket, name that with --control");
    }
    return {.path = path, .host = {}, .port = 0};
}

std::string server_path(const std::string& flag) {
    const std::string given = flag_or_environment(flag);
    if (given.empty()) return {};
    const Address address = parse_address(given);
    if (address.path.empty()) {
        throw Failure(
            exits::usage, "a server's --control is the path of a unix socket",
            "for HTTP over TCP write 'control: { http: \"HOST:PORT\" }' in the table file");
    }
    return address.path;
}

}  // namespace server::cli
