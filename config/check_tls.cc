#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <system_error>

#include "config/checks.h"

namespace config {
namespace {

constexpr std::size_t file_bytes_max = 4U << 20;

/// Nothing, and a report, if it can't be read.
std::optional<std::string> content_of(Diagnostics& found, const std::string& path,
                                      const Position& at, const char* key) {
    std::string text(file_bytes_max + 1, '\0');
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
    const std::error_code why(errno, std::generic_category());
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (!text.empty() && text.size() <= file_bytes_max) return text;
    const std::string what = text.size() > file_bytes_max ? "it is larger than 4MiB"
                             : why                        ? why.message()
                                                          : "it is empty";
    found.error(at, {why == std::errc::no_such_file_or_directory ? "no-such-file" : "bad-tls-file",
                     "tls: " + std::string(key) + ' ' + config::in_quotes(path) + ": " + what,
                     {},
                     "a relative path begins where the server was started"});
    return std::nullopt;
}

/// An explicit wish for TLS that no credentials can fulfil.
void check_use(Checking& checking, const std::string& what, Tls use, const Position& at) {
    if (use == Tls::no || !at.written() || checking.spec.tls.position.written()) return;
    checking.found.error(at, {"tls-missing",
                              what + ": tls: " + std::string(name_of(use)) + " needs credentials",
                              {},
                              "add tls: { cert: FILE, key: FILE }, or tls: { psk_file: FILE }, to "
                              "the file"});
}

/// Is there an address at which an export with TLS only, or never, is offered?
bool is_reachable(const Spec& spec, const ExportSpec& one) {
    for (const ListenSpec& listen : spec.listen) {
        const bool named = listen.exports.empty() ||
                           std::ranges::find(listen.exports, one.name) != listen.exports.end();
        const Tls unfit = one.tls == Tls::no ? Tls::require : Tls::no;
        if (named && listen.tls != unfit) return true;
    }
    return spec.listen.empty();
}

void check_remote_tls(Checking& checking, const StoreSpec& store) {
    const auto missing = [&](const char* key, const std::string& path) {
        std::error_code ignored;
        if (path.empty() || std::filesystem::exists(path, ignored)) return;
        checking.found.error(store.tls.position,
                             {"no-such-file",
                              "store " + config::in_quotes(store.name) + ": tls: " + key +
                                  ": there is no " + config::in_quotes(path),
                              {},
                              "a relative path begins where the server was started"});
    };
    missing("psk_file", store.tls.psk_path);
    if (!store.tls.certificates.empty()) {
        missing("certificates", store.tls.certificates + "/ca-cert.pem");
    }
    if (store.tls.use != Tls::no || !store.uri.starts_with("nbds")) return;
    checking.found.error(
        store.tls.position,
        {"tls-conflict",
         "store " + config::in_quotes(store.name) + ": tls: no, but its uri begins with nbds",
         {},
         "leave 'tls' out, or write a uri that begins with nbd"});
}

}  // namespace

std::string_view name_of(Tls tls) noexcept {
    switch (tls) {
        case Tls::no: return "no";
        case Tls::require: return "require";
        case Tls::yes: break;
    }
    return "yes";
}

std::vector<std::string> TlsSpec::paths() const {
    std::vector<std::string> all;
    for (const std::string* path : {&cert_path, &key_path, &ca_path, &psk_path}) {
        if (!path->empty()) all.push_back(*path);
    }
    return all;
}

void check_tls_uses(Checking& checking) {
    const Spec& spec = checking.spec;
    for (const StoreSpec& store : spec.stores) check_remote_tls(checking, store);
    for (const ExportSpec& one : spec.exports) {
        const std::string what = export_subject(one.name);
        check_use(checking, what, one.tls, one.tls_position);
        if (one.tls == Tls::yes || is_reachable(spec, one)) continue;
        checking.found.warning(one.tls_position, {"unreachable-export",
                                                  what + ": tls: " + std::string(name_of(one.tls)) +
                                                      " is offered at no address",
                                                  {},
                                                  "change 'tls' here or in 'listen'"});
    }
    for (const ListenSpec& listen : spec.listen) {
        check_use(checking, "listen " + config::in_quotes(listen.uri), listen.tls,
                  listen.tls_position);
    }
}

void read_tls_files(TlsSpec& tls, Diagnostics& found, const OnRead& on_read) {
    const struct {
        const char* key;
        const std::string& path;
        const Position& at;
    } files[] = {{"cert", tls.cert_path, tls.cert_position},
                 {"key", tls.key_path, tls.key_position},
                 {"ca", tls.ca_path, tls.ca_position},
                 {"psk_file", tls.psk_path, tls.psk_position}};
    std::string all;
    for (const auto& [key, path, at] : files) {
        if (path.empty()) continue;
        const auto text = content_of(found, path, at, key);
        if (on_read) on_read(path, text.value_or(std::string()));
        all += std::to_string(text.value_or(std::string()).size()) + ':' +
               text.value_or(std::string());
    }
    tls.content = std::hash<std::string>{}(all);
}

}  // namespace config
