#include "config/load.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <vector>

#include "config/check.h"
#include "config/checks.h"
#include "config/sections.h"

namespace config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view top_keys[] = {"version",    "seed",   "include", "defaults", "shards",
                                         "data_roots", "stores", "devices", "exports",  "listen",
                                         "control",    "reload", "log",     "tls"};
constexpr std::size_t files_max = 64;
constexpr std::uint64_t shards_max = 256;

std::optional<std::string> process_variable(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

/// Reads at most one byte more than a file may have, whatever it is.
Value<std::string> read_text_file(const std::string& path) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
        return tl::unexpected(
            ValueError{"no-such-file", config::in_quotes(path) + " is a folder", {}});
    }
    std::ifstream stream(path, std::ios::binary);
    if (!stream) {
        const std::error_code why(errno, std::generic_category());
        return tl::unexpected(ValueError{
            "no-such-file", "can't read " + config::in_quotes(path) + ": " + why.message(), {}});
    }
    std::string text(file_bytes_max + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > file_bytes_max) {
        return tl::unexpected(ValueError{"too-large",
                                         config::in_quotes(path) + " is larger than 16MiB",
                                         "split it with 'include'"});
    }
    text.shrink_to_fit();
    return text;
}

class Loader {
  public:
    Loader(Diagnostics& found, const Surroundings& around)
        : context_{found, around.variable ? around.variable : process_variable}, around_(around) {}

    void add_file(const std::string& path, const Position& from) {
        auto text = read_text_file(path);
        if (around_.on_read) around_.on_read(path, text ? *text : std::string());
        if (text) return add_text(path, std::move(*text));
        Position at = from;
        if (at.source == nullptr) {
            at.source = add_source(path, {});
        }
        context_.found.error(at, {text.error().slug, text.error().message, {}, text.error().help});
    }

    void add_text(std::string name, std::string text) {
        constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
        if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
        add_source(std::move(name), std::move(text));
        auto document = Document::parse(spec_.sources.back(), context_.found);
        if (!document) return;
        documents_.push_back(std::move(*document));
        read_includes(documents_.size() - 1);
    }

    std::optional<Spec> finish() {
        if (documents_.size() == spec_.sources.size()) {
            read_all();
            forbid_files();
            ask_remote_sizes();
            look_at_tls_files();
            check(spec_, context_.found);
        }
        context_.found.sort();
        if (!context_.found.ok()) return std::nullopt;
        return std::move(spec_);
    }

  private:
    const Source* add_source(std::string name, std::string text) {
        spec_.sources.push_back(std::make_shared<Source>(std::move(name), std::move(text)));
        return spec_.sources.back().get();
    }

    void read_includes(std::size_t index) {
        const Node* includes = documents_[index].root().find("include");
        if (includes == nullptr) return;
        const fs::path folder = fs::path(documents_[index].source()->name()).parent_path();
        for (const Node* item : context_.list(*includes, "include")) {
            const auto name = context_.text(*item, "include");
            if (!name) continue;
            const std::string path = (folder / *name).lexically_normal().string();
            if (is_known(path)) {
                context_.found.error(item->position,
                                     {"duplicate-include",
                                      config::in_quotes(path) + " is included twice",
                                      {},
                                      "one 'include' of a file is enough"});
            } else if (spec_.sources.size() >= files_max) {
                context_.found.error(item->position,
                                     {"too-many-files", "a table has at most 64 files"});
            } else if (!is_forbidden(path, item->position, "include")) {
                add_file(path, item->position);
            }
        }
    }

    bool is_forbidden(const std::string& path, const Position& at, const std::string& what) {
        const auto why = around_.forbids ? around_.forbids(path) : std::nullopt;
        if (!why) return false;
        context_.found.error(
            at, {"forbidden", what + ": " + config::in_quotes(path) + ' ' + *why, {}, {}});
        return true;
    }

    /// Before anybody looks at their files.
    void forbid_files() {
        for (StoreSpec& store : spec_.stores) {
            if (store.path.empty()) continue;
            const std::string what = "store " + config::in_quotes(store.name);
            if (is_forbidden(store.path, store.path_position, what)) store.path.clear();
        }
        for (StoreSpec& store : spec_.stores) {
            for (std::string* path : {&store.tls.psk_path, &store.tls.certificates}) {
                const std::string what = "store " + config::in_quotes(store.name) + ": tls";
                if (!path->empty() && is_forbidden(*path, store.tls.position, what)) path->clear();
            }
        }
        TlsSpec& tls = spec_.tls;
        for (auto [path, at] : {std::pair(&tls.cert_path, &tls.cert_position),
                                {&tls.key_path, &tls.key_position},
                                {&tls.ca_path, &tls.ca_position},
                                {&tls.psk_path, &tls.psk_position}}) {
            if (!path->empty() && is_forbidden(*path, *at, "tls")) path->clear();
        }
    }

    void look_at_tls_files() {
        const std::size_t before = context_.found.errors();
        read_tls_files(spec_.tls, context_.found, around_.on_read);
        if (context_.found.errors() > before || !spec_.tls.given() || !around_.tls) return;
        if (auto trouble = around_.tls(spec_.tls)) {
            context_.found.error(trouble->at, std::move(trouble->report));
        }
    }

    /// A file with errors is not worth the wait.
    void ask_remote_sizes() {
        if (!context_.found.ok()) return;
        for (StoreSpec& store : spec_.stores) {
            if (store.uri.empty() || store.size_given) continue;
            const auto bytes = around_.remote_size
                                   ? around_.remote_size(store)
                                   : tl::unexpected(std::string("nobody here can ask it"));
            if (bytes) store.size_sectors = *bytes / dmcore::sector_bytes;
            if (store.size_sectors > 0) continue;
            context_.found.error(
                store.uri_position,
                {"no-remote-size",
                 "store " + config::in_quotes(store.name) + ": " + config::in_quotes(store.uri) +
                     " does not tell its size: " +
                     (bytes ? std::string("it holds nothing") : bytes.error()),
                 {},
                 "start it first, or write size: 1GiB, or another; then it may come later"});
        }
    }

    bool is_known(const std::string& path) const {
        for (const auto& source : spec_.sources) {
            if (fs::path(source->name()).lexically_normal() == fs::path(path)) return true;
        }
        return false;
    }

    void read_all() {
        const Section top(context_, documents_.front().root(), {}, top_keys);
        top.require("version", {spec_.sources.front().get(), 1, 1, 1},
                    "begin the file with version: 1");
        for (const Document& document : documents_) {
            if (&document != &documents_.front()) {
                const Section included(context_, document.root(), {}, top_keys);
            }
            if (const Node* defaults = once(document, "defaults")) {
                read_defaults(context_, *defaults, defaults_);
            }
        }
        for (const Document& document : documents_) read_document(document);
    }

    /// The value of a key that only one of the files may have.
    const Node* once(const Document& document, std::string_view key) {
        const Node* value = document.root().find(key);
        if (value == nullptr) return nullptr;
        const auto [first, is_first] = seen_.emplace(key, value);
        if (is_first) return value;
        const Position& at = first->second->position;
        context_.found.error(value->position, {"duplicate-key",
                                               "'" + std::string(key) + "' is given in two files",
                                               {},
                                               "the other is in " + at.source->name() + ':' +
                                                   std::to_string(at.line)});
        return nullptr;
    }

    template <class Read>
    void each_entry(const Document& document, std::string_view key, Read read) {
        const Node* node = document.root().find(key);
        if (node == nullptr || node->kind == Node::Kind::null) return;
        if (node->kind != Node::Kind::map) {
            context_.found.error(node->position, {"wrong-kind",
                                                  std::string(key) + " is not a map",
                                                  "expected 'name: ...' here",
                                                  {}});
            return;
        }
        for (const Node::Entry& entry : node->entries) read(entry);
    }

    void read_document(const Document& document) {
        read_scalars(document);
        each_entry(document, "stores",
                   [&](const Node::Entry& entry) { read_store(context_, entry, spec_); });
        each_entry(document, "devices", [&](const Node::Entry& entry) {
            read_device(context_, entry, defaults_, spec_);
        });
        each_entry(document, "exports",
                   [&](const Node::Entry& entry) { read_export(context_, entry, spec_); });
        const Node* listen = document.root().find("listen");
        if (listen != nullptr) read_listen(context_, *listen, spec_);
        if (const Node* node = once(document, "tls")) read_tls(context_, *node, spec_);
        if (const Node* node = once(document, "control")) read_control(context_, *node, spec_);
        if (const Node* node = once(document, "reload")) read_reload(context_, *node, spec_);
        if (const Node* node = once(document, "log")) read_log(context_, *node, spec_);
    }

    void read_scalars(const Document& document) {
        if (const Node* version = document.root().find("version")) read_version(*version);
        if (const Node* seed = once(document, "seed")) {
            spec_.seed = context_.read(*seed, "seed", [](std::string_view text) {
                return parse_count(text, std::numeric_limits<std::uint64_t>::max());
            });
        }
        if (const Node* shards = once(document, "shards")) read_shards(*shards);
        if (const Node* roots = document.root().find("data_roots")) {
            for (const Node* item : context_.list(*roots, "data_roots")) {
                auto root = context_.text(*item, "data_roots");
                if (root) spec_.data_roots.push_back(std::move(*root));
            }
        }
    }

    void read_version(const Node& node) {
        const auto version = context_.text(node, "version");
        if (!version || *version == "1") return;
        context_.found.error(node.position, {"bad-version",
                                             "version is 1, not " + config::in_quotes(*version),
                                             {},
                                             "write version: 1"});
    }

    void read_shards(const Node& node) {
        const auto shards = context_.read(
            node, "shards", [](std::string_view text) { return parse_count(text, shards_max); });
        if (!shards) return;
        spec_.shards = static_cast<unsigned>(*shards);
        if (*shards == 0) {
            context_.found.error(
                node.position,
                {"bad-number", "shards is at least 1", {}, "leave it out for one a core"});
        }
    }

    Context context_;
    const Surroundings& around_;
    Spec spec_;
    std::vector<Document> documents_;
    Defaults defaults_;
    std::map<std::string_view, const Node*> seen_;
};

}  // namespace

std::optional<Spec> load_file(const std::string& path, Diagnostics& found,
                              const Surroundings& around) {
    Loader loader(found, around);
    loader.add_file(path, {});
    return loader.finish();
}

std::optional<Spec> load_text(std::string name, std::string text, Diagnostics& found,
                              const Surroundings& around) {
    Loader loader(found, around);
    loader.add_text(std::move(name), std::move(text));
    return loader.finish();
}

}  // namespace config
