#include <string>

#include "config/sections.h"

namespace config {
namespace {

constexpr std::string_view tls_keys[] = {"cert", "key", "ca", "verify_peer", "psk_file"};
constexpr std::string_view remote_keys[] = {"use", "certificates", "psk_file", "username",
                                            "verify_peer"};
constexpr std::string_view uses[] = {"no", "yes", "require"};

void read_path(const Section& section, std::string_view key, std::string& path, Position& at) {
    if (section.find(key) == nullptr) return;
    at = section.find(key)->position;
    section.set(path, key, parse_path);
}

}  // namespace

void read_tls_use(const Section& section, Tls& use, Position& position) {
    const auto word = section.choice("tls", uses);
    if (!word) return;
    use = static_cast<Tls>(*word);
    position = section.find("tls")->position;
}

void read_tls(Context& context, const Node& node, Spec& spec) {
    const Section section(context, node, "tls", tls_keys);
    TlsSpec& tls = spec.tls;
    tls.position = node.position;
    read_path(section, "cert", tls.cert_path, tls.cert_position);
    read_path(section, "key", tls.key_path, tls.key_position);
    read_path(section, "ca", tls.ca_path, tls.ca_position);
    read_path(section, "psk_file", tls.psk_path, tls.psk_position);
    section.set(tls.verify_peer, "verify_peer", parse_boolean);
    if (section.find("cert") != nullptr) {
        section.require("key", tls.cert_position, "write key: FILE, the private key of 'cert'");
    } else if (section.find("key") != nullptr) {
        section.require("cert", tls.key_position, "write cert: FILE, the certificate for 'key'");
    } else if (section.find("psk_file") == nullptr) {
        section.require("cert", tls.position, "write cert: FILE and key: FILE, or psk_file: FILE");
    }
    if (tls.verify_peer) {
        section.require("ca", section.find("verify_peer")->position,
                        "write ca: FILE, the certificate that signs those of clients");
    }
}

void read_remote_tls(Context& context, const Node& node, const std::string& what, RemoteTls& to) {
    to.position = node.position;
    if (node.kind == Node::Kind::scalar) {
        const auto use = context.choice(node, what, uses);
        if (use) to.use = static_cast<Tls>(*use);
        return;
    }
    const Section section(context, node, what, remote_keys);
    to.use = Tls::require;
    if (const auto use = section.choice("use", uses)) to.use = static_cast<Tls>(*use);
    section.set(to.certificates, "certificates", parse_path);
    section.set(to.psk_path, "psk_file", parse_path);
    section.set(to.username, "username", parse_path);
    section.set(to.verify_peer, "verify_peer", parse_boolean);
}

}  // namespace config
