#include "config/print.h"

#include <algorithm>
#include <cstdio>

#include "config/encoding.h"
#include "config/named.h"
#include "config/values.h"

namespace config {
namespace {

/// A longer one, YAML wants marked.
constexpr std::size_t short_key_bytes_max = 1000;

/// Text that no reader of YAML can take for anything else.
std::string quoted_key(std::string_view text) {
    std::string out = "\"";
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (begins_with_control(text.substr(at))) {
            if (text[at] == '\xc2') ++at;  // Its second byte is the character's number.
            char hex[8];
            std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(text[at]));
            out += hex;
            continue;
        }
        if (text[at] == '"' || text[at] == '\\') out += '\\';
        out += text[at];
    }
    return out + '"';
}

/// The same for a value, in which variables would be replaced.
std::string quoted_text(std::string_view text) {
    std::string out;
    for (const char letter : quoted_key(text)) out.append(letter == '$' ? 2 : 1, letter);
    return out;
}

/// A map on one line, of what has been put in.
class FlowMap {
  public:
    void put(std::string_view key, const std::string& value) {
        text_ += (text_.empty() ? "" : ", ") + std::string(key) + ": " + value;
    }
    void put_if(bool wanted, std::string_view key, const std::string& value) {
        if (wanted) put(key, value);
    }
    bool empty() const { return text_.empty(); }
    std::string text() const { return empty() ? "{}" : "{ " + text_ + " }"; }

  private:
    std::string text_;
};

template <class Items, class Text>
std::string flow_list(const Items& items, Text&& text_of) {
    std::string list;
    for (const auto& item : items) list += (list.empty() ? "" : ", ") + text_of(item);
    return '[' + list + ']';
}

std::string cidr_text(const Cidr& cidr) {
    constexpr unsigned mapped_bits = 96;  // ::ffff:a.b.c.d
    const auto four = parse_cidr("0.0.0.0/0");
    if (cidr.prefix_bits >= mapped_bits && four->contains(cidr.address)) {
        std::string text;
        for (std::size_t i = 12; i < cidr.address.size(); ++i) {
            text += (text.empty() ? "" : ".") + std::to_string(cidr.address[i]);
        }
        return quoted_text(text + '/' + std::to_string(cidr.prefix_bits - mapped_bits));
    }
    std::string text;
    for (std::size_t i = 0; i < cidr.address.size(); i += 2) {
        char group[8];
        std::snprintf(group, sizeof group, "%s%x", i == 0 ? "" : ":",
                      unsigned{cidr.address[i]} << 8 | cidr.address[i + 1]);
        text += group;
    }
    return quoted_text(text + '/' + std::to_string(cidr.prefix_bits));
}

std::string factor_text(double factor) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", factor);
    return text;
}

std::string store_text(const StoreSpec& store) {
    FlowMap map;
    const bool file = store.type == StoreSpec::Type::file;
    const bool memory = store.type == StoreSpec::Type::memory;
    map.put("type", std::string(name_of(store.type)));
    map.put_if(file, "path", quoted_text(store.path));
    map.put_if(!store.uri.empty(), "uri", quoted_text(store.uri));
    map.put_if(memory || store.size_given, "size", sectors_text(store.size_sectors));
    map.put_if(store.create, "create", "true");
    map.put_if(store.discard == StoreSpec::Discard::ignore, "discard", "ignore");
    const StoreSpec defaults;
    map.put_if(store.engine != defaults.engine, "engine", std::string(name_of(store.engine)));
    map.put_if(store.direct, "direct", "true");
    map.put_if(store.connections != defaults.connections, "connections",
               std::to_string(store.connections));
    map.put_if(store.reconnect != defaults.reconnect, "reconnect", duration_text(store.reconnect));
    map.put_if(store.trust_restart, "trust_restart", "true");
    map.put_if(store.timeout != defaults.timeout, "timeout", duration_text(store.timeout));
    map.put_if(store.tls.use.has_value(), "tls", remote_tls_text(store.tls));
    return map.text();
}

std::string tls_text(const TlsSpec& tls) {
    FlowMap map;
    map.put_if(!tls.cert_path.empty(), "cert", quoted_text(tls.cert_path));
    map.put_if(!tls.key_path.empty(), "key", quoted_text(tls.key_path));
    map.put_if(!tls.ca_path.empty(), "ca", quoted_text(tls.ca_path));
    map.put_if(tls.verify_peer, "verify_peer", "true");
    map.put_if(!tls.psk_path.empty(), "psk_file", quoted_text(tls.psk_path));
    return map.text();
}

std::string errors_text(const dmcore::StatusSet& errors) {
    std::vector<std::string> names;
    for (unsigned i = 0; i < static_cast<unsigned>(dmcore::Status::requeue); ++i) {
        const auto status = static_cast<dmcore::Status>(i);
        if (errors.has(status)) names.emplace_back(dmcore::name_of(status));
    }
    return flow_list(names, [](const std::string& name) { return name; });
}

std::string args_text(const dmcore::RowSpec& row) {
    const dmcore::TargetType* type = dmcore::find_target_type(row.target);
    const auto named = type == nullptr ? std::nullopt : named_arguments(*type, row.words);
    if (!named) return flow_list(row.words, quoted_text);
    FlowMap map;
    for (const NamedArgument& one : *named) map.put(one.name, one.value);
    return map.text();
}

std::string segment_text(const dmcore::RowSpec& row) {
    FlowMap map;
    map.put_if(row.start_sector != 0, "start", sectors_text(row.start_sector));
    map.put("length", sectors_text(row.sectors));
    map.put("target", row.target);
    map.put_if(!row.words.empty(), "args", args_text(row));
    return map.text();
}

std::string export_text(const ExportSpec& one) {
    FlowMap map;
    map.put("device", name_text(one.device));
    map.put_if(one.read_only, "read_only", "true");
    map.put_if(!one.description.empty(), "description", quoted_text(one.description));
    map.put_if(one.max_connections != 0, "max_connections", std::to_string(one.max_connections));
    map.put_if(!one.allow.empty(), "allow", allow_text(one.allow));
    map.put_if(one.tls != Tls::yes, "tls", std::string(name_of(one.tls)));
    return map.text();
}

std::string listen_text(const ListenSpec& listen) {
    FlowMap map;
    map.put("uri", quoted_text(listen.uri));
    map.put_if(listen.tls != Tls::yes, "tls", std::string(name_of(listen.tls)));
    map.put_if(!listen.exports.empty(), "exports", flow_list(listen.exports, quoted_text));
    return map.text();
}

std::string control_text(const ControlSpec& control) {
    FlowMap map;
    map.put_if(!control.unix_path.empty(), "unix", quoted_text(control.unix_path));
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", control.mode);
    map.put_if(control.mode != ControlSpec{}.mode, "mode", quoted_text(mode));
    const bool six = control.http_host.find_first_of(":[") != std::string::npos;
    const std::string host = six ? '[' + control.http_host + ']' : control.http_host;
    map.put_if(!host.empty(), "http", quoted_text(host + ':' + std::to_string(control.http_port)));
    map.put_if(control.http_write, "http_write", "true");
    map.put_if(!control.token_path.empty(), "token_file", quoted_text(control.token_path));
    return map.text();
}

std::string reload_text(const ReloadSpec& reload) {
    FlowMap map;
    map.put_if(!reload.watch, "watch", "false");
    map.put_if(reload.drain != ReloadSpec{}.drain, "drain", duration_text(reload.drain));
    map.put_if(reload.allow_data_loss, "allow_data_loss", "true");
    return map.text();
}

std::string log_text(const LogSpec& log) {
    constexpr const char* levels[] = {"debug", "info", "warning", "error"};
    constexpr const char* formats[] = {"auto", "text", "json"};
    FlowMap map;
    map.put_if(log.level != LogSpec{}.level, "level", levels[static_cast<unsigned>(log.level)]);
    map.put_if(log.format != LogSpec{}.format, "format",
               formats[static_cast<unsigned>(log.format)]);
    return map.text();
}

}  // namespace

std::string allow_text(const std::vector<Cidr>& ranges) {
    return flow_list(ranges, cidr_text);
}

std::string remote_tls_text(const RemoteTls& tls) {
    if (!tls.use) return {};
    const std::string use(name_of(*tls.use));
    if (tls == RemoteTls{.use = tls.use}) return use;
    FlowMap map;
    map.put_if(*tls.use != Tls::require, "use", use);
    map.put_if(!tls.certificates.empty(), "certificates", quoted_text(tls.certificates));
    map.put_if(!tls.psk_path.empty(), "psk_file", quoted_text(tls.psk_path));
    map.put_if(!tls.username.empty(), "username", quoted_text(tls.username));
    map.put_if(!tls.verify_peer, "verify_peer", "false");
    return map.text();
}

std::string retry_text(const dmcore::RetryPolicy& retry) {
    if (retry == dmcore::no_retry()) return "none";
    const dmcore::RetryPolicy usual = dmcore::default_retry();
    FlowMap map;
    map.put_if(!(retry.errors == usual.errors), "errors", errors_text(retry.errors));
    map.put_if(retry.attempts != usual.attempts, "attempts", std::to_string(retry.attempts));
    map.put_if(retry.delay != usual.delay, "delay", duration_text(retry.delay));
    map.put_if(retry.backoff != usual.backoff, "backoff", factor_text(retry.backoff));
    map.put_if(retry.max_delay != usual.max_delay, "max_delay", duration_text(retry.max_delay));
    map.put_if(retry.deadline != usual.deadline, "deadline", duration_text(retry.deadline));
    map.put_if(retry.queue_bytes != usual.queue_bytes, "queue_bytes", size_text(retry.queue_bytes));
    return map.text();
}

std::string segments_text(const std::vector<dmcore::RowSpec>& rows, const std::string& indent) {
    std::string text;
    for (const dmcore::RowSpec& row : rows) text += indent + "- " + segment_text(row) + '\n';
    return text;
}

std::string yaml_text(const DeviceSpec& device) {
    std::string text = "  " + name_text(device.name) + ":\n";
    const auto key = [&](bool wanted, const char* name, const std::string& value) {
        if (wanted) text += std::string("    ") + name + ": " + value + '\n';
    };
    key(!(device.retry == dmcore::transient_retry()), "retry", retry_text(device.retry));
    key(device.read_only, "read_only", "true");
    key(device.block_bytes != DeviceSpec{}.block_bytes, "block_size",
        std::to_string(device.block_bytes));
    key(!device.uuid.empty(), "uuid", quoted_text(device.uuid));
    return text + "    table:\n" + segments_text(device.rows, "      ");
}

std::string yaml_text(const Spec& spec) {
    std::string text = "version: 1\n";
    if (spec.seed) text += "seed: " + std::to_string(*spec.seed) + '\n';
    if (spec.shards != 0) text += "shards: " + std::to_string(spec.shards) + '\n';
    if (!spec.data_roots.empty()) {
        text += "data_roots: " + flow_list(spec.data_roots, quoted_text) + '\n';
    }
    if (!spec.stores.empty()) text += "\nstores:\n";
    for (const StoreSpec& store : spec.stores) {
        text += "  " + name_text(store.name) + ": " + store_text(store) + '\n';
    }
    if (!spec.devices.empty()) text += "\ndevices:\n";
    for (const DeviceSpec& device : spec.devices) text += yaml_text(device);
    if (!spec.exports.empty()) text += "\nexports:\n";
    for (const ExportSpec& one : spec.exports) {
        const std::string key = quoted_key(one.name);
        text += (key.size() > short_key_bytes_max ? "  ? " + key + "\n  : " : "  " + key + ": ") +
                export_text(one) + '\n';
    }
    if (!spec.listen.empty()) text += "\nlisten:\n";
    for (const ListenSpec& listen : spec.listen) text += "  - " + listen_text(listen) + '\n';
    const auto section = [&](const char* name, const std::string& value) {
        if (value != "{}") text += std::string(name) + ": " + value + '\n';
    };
    section("tls", tls_text(spec.tls));
    section("control", control_text(spec.control));
    section("reload", reload_text(spec.reload));
    section("log", log_text(spec.log));
    return text;
}

}  // namespace config
