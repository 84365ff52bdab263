#include <charconv>
#include <string>
#include <utility>

#include "config/encoding.h"
#include "config/listen.h"
#include "config/sections.h"

namespace config {
namespace {

constexpr std::string_view export_keys[] = {"device", "read_only",       "description",
                                            "allow",  "max_connections", "tls"};
constexpr std::string_view listen_keys[] = {"uri", "tls", "exports"};
constexpr std::string_view control_keys[] = {"unix", "mode", "http", "http_write", "token_file"};
constexpr std::string_view reload_keys[] = {"watch", "drain", "allow_data_loss"};
constexpr std::string_view log_keys[] = {"level", "format"};
constexpr std::size_t export_text_bytes_max = 4096;  // The protocol's bound on strings.
constexpr std::size_t unix_path_bytes_max = 107;     // sockaddr_un.

using HostPort = std::pair<std::string, std::uint16_t>;

/// A name or description that clients are shown.
Value<std::string> parse_export_text(std::string_view text) {
    if (text.size() > export_text_bytes_max) {
        return tl::unexpected(
            ValueError{"too-long", in_quotes(text) + " has more than 4096 bytes", {}});
    }
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (!begins_with_control(text.substr(at))) continue;
        return tl::unexpected(
            ValueError{"bad-name", in_quotes(text) + " has a control character", "remove it"});
    }
    return std::string(text);
}

Value<std::string> unix_path(std::string_view text) {
    const bool good = !text.empty() && text.find(char{}) == std::string_view::npos;
    if (good && text.size() <= unix_path_bytes_max) return std::string(text);
    return tl::unexpected(ValueError{"bad-address",
                                     in_quotes(text) + " is not the path of a socket",
                                     "a path of at most 107 bytes"});
}

Value<std::string> file_path(std::string_view text) {
    if (!text.empty()) return std::string(text);
    return tl::unexpected(ValueError{"bad-path", "it is the path of a file", {}});
}

/// `HOST:PORT`, where an IPv6 address is in brackets.
Value<HostPort> host_and_port(std::string_view text) {
    const auto bad = [&] {
        return tl::unexpected(ValueError{"bad-address", in_quotes(text) + " is not HOST:PORT",
                                         "write it like 127.0.0.1:10809 or [::1]:10809"});
    };
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return bad();
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string_view::npos)
        return bad();
    const auto port = parse_count(text.substr(colon + 1), 65535);
    if (host.empty() || !port) return bad();
    return HostPort(host, static_cast<std::uint16_t>(*port));
}

}  // namespace

Value<ListenSpec> parse_listen(std::string_view text) {
    ListenSpec listen;
    listen.uri = text;
    if (text.starts_with("unix:")) {
        const auto path = unix_path(text.substr(5));
        if (!path) return tl::unexpected(path.error());
        listen.path = *path;
        return listen;
    }
    if (text.starts_with("tcp://")) {
        const auto address = host_and_port(text.substr(6));
        if (!address) return tl::unexpected(address.error());
        std::tie(listen.host, listen.port) = *address;
        return listen;
    }
    return tl::unexpected(ValueError{"bad-address",
                                     in_quotes(text) + " is not an address to listen on",
                                     "write tcp://HOST:PORT or unix:PATH"});
}

namespace {

/// File permissions, in octal as everywhere: 0600 or 600.
Value<std::uint64_t> mode_value(std::string_view text) {
    unsigned mode = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, mode, 8);
    if (error == std::errc() && stopped == end && text.size() >= 3 && mode <= 0777) return mode;
    return tl::unexpected(ValueError{"bad-mode", in_quotes(text) + " is not a file mode",
                                     "write octal digits, like 0600 or 0660"});
}

/// Only this machine reaches it. A name other than localhost may mean any address.
bool is_loopback(const std::string& host) {
    const auto address = parse_cidr(host);
    const auto four = parse_cidr("127.0.0.0/8");
    return host == "localhost" || host == "::1" || (address && four->contains(address->address));
}

std::vector<Cidr> read_allow(Context& context, const Node& node, const std::string& what) {
    std::vector<Cidr> ranges;
    for (const Node* item : context.list(node, what)) {
        const auto text = context.text(*item, what);
        if (!text) continue;
        if (const auto cidr = parse_cidr(*text)) {
            ranges.push_back(*cidr);
            continue;
        }
        context.error(item->position, what,
                      {"bad-cidr", in_quotes(*text) + " is not a range of addresses",
                       "write it like 10.0.0.0/8, 192.168.1.7 or fd00::/8, with no bits behind the "
                       "prefix"});
    }
    return ranges;
}

}  // namespace

void read_export(Context& context, const Node::Entry& entry, Spec& spec) {
    ExportSpec one;
    const std::string what = export_subject(entry.key);
    one.name = entry.key;
    one.position = entry.position;
    if (const auto name = parse_export_text(entry.key); !name) {
        context.error(entry.position, "export", name.error());
    }
    one.device_position = entry.value->position;
    if (entry.value->kind == Node::Kind::scalar) {
        const auto device = context.read(*entry.value, what, parse_name);
        if (!device) return;
        one.device = *device;
    } else {
        const Section section(context, *entry.value, what, export_keys);
        if (!section.require("device", entry.position, "write device: NAME")) return;
        one.device_position = section.find("device")->position;
        section.set(one.device, "device", parse_name);
        section.set(one.read_only, "read_only", parse_boolean);
        section.set(one.description, "description", parse_export_text);
        section.set(one.max_connections, "max_connections",
                    [](std::string_view text) { return parse_count(text, 1'000'000); });
        const Node* allow = section.find("allow");
        if (allow != nullptr) one.allow = read_allow(context, *allow, section.subject("allow"));
        read_tls_use(section, one.tls, one.tls_position);
        if (one.device.empty()) return;
    }
    spec.exports.push_back(std::move(one));
}

void read_listen(Context& context, const Node& list, Spec& spec) {
    for (const Node* item : context.list(list, "listen")) {
        if (item->kind != Node::Kind::map) {
            auto listen = context.read(*item, "listen", parse_listen);
            if (!listen) continue;
            listen->position = item->position;
            spec.listen.push_back(std::move(*listen));
            continue;
        }
        const Section section(context, *item, "listen", listen_keys);
        if (!section.require("uri", item->position, "write uri: tcp://HOST:PORT")) continue;
        auto listen = section.read("uri", parse_listen);
        if (!listen) continue;
        listen->position = section.find("uri")->position;
        read_tls_use(section, listen->tls, listen->tls_position);
        if (const Node* exports = section.find("exports")) {
            for (const Node* each : context.list(*exports, section.subject("exports"))) {
                auto name = context.text(*each, section.subject("exports"));
                if (name) listen->exports.push_back(std::move(*name));
            }
        }
        spec.listen.push_back(std::move(*listen));
    }
}

void read_control(Context& context, const Node& node, Spec& spec) {
    const Section section(context, node, "control", control_keys);
    spec.control.position = node.position;
    section.set(spec.control.unix_path, "unix", unix_path);
    section.set(spec.control.mode, "mode", mode_value);
    if (const auto http = section.read("http", host_and_port)) {
        std::tie(spec.control.http_host, spec.control.http_port) = *http;
    }
    section.set(spec.control.http_write, "http_write", parse_boolean);
    section.set(spec.control.token_path, "token_file", file_path);
    const ControlSpec& control = spec.control;
    if (control.http_write && control.token_path.empty() && !is_loopback(control.http_host)) {
        context.found.error(
            section.find("http_write")->position,
            {"token-needed",
             "control: http_write off loopback needs a token_file",
             {},
             "write token_file: PATH of a file with a secret of 16 or more characters"});
    }
}

void read_reload(Context& context, const Node& node, Spec& spec) {
    const Section section(context, node, "reload", reload_keys);
    section.set(spec.reload.watch, "watch", parse_boolean);
    section.set(spec.reload.drain, "drain", parse_duration);
    section.set(spec.reload.allow_data_loss, "allow_data_loss", parse_boolean);
}

void read_log(Context& context, const Node& node, Spec& spec) {
    static constexpr std::string_view levels[] = {"debug", "info", "warning", "error"};
    static constexpr std::string_view formats[] = {"text", "json"};
    const Section section(context, node, "log", log_keys);
    if (const auto level = section.choice("level", levels)) {
        spec.log.level = static_cast<LogSpec::Level>(*level);
    }
    if (const auto format = section.choice("format", formats)) {
        spec.log.format = *format == 0 ? LogSpec::Format::text : LogSpec::Format::json;
    }
}

}  // namespace config
