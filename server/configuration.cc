#include "server/configuration.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/print.h"
#include "server/live.h"
#include "server/net/passed_sockets.h"
#include "server/net/tls_context.h"
#include "server/running.h"
#include "server/stores/open_remote.h"

namespace server {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string text_of(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

/// Both with all links followed; what is not there yet counts as written.
bool lies_in(const std::string& path, const std::string& root) {
    std::error_code error;
    const fs::path real = fs::weakly_canonical(fs::absolute(path), error);
    const fs::path folder = fs::weakly_canonical(fs::absolute(root), error);
    const auto [end, at] = std::mismatch(folder.begin(), folder.end(), real.begin(), real.end());
    return end == folder.end() || (std::next(end) == folder.end() && end->empty());
}

std::string folder_of(const std::string& path) {
    const fs::path folder = fs::path(path).parent_path();
    return folder.empty() ? "." : folder.string();
}

std::string last_line(const std::string& text) {
    const std::size_t end = text.find_last_not_of('\n');
    const std::size_t begin = text.rfind('\n', end);
    return text.substr(begin + 1, end - begin);
}

void tell(const std::string& what, const Applied& applied) {
    const std::string counts = last_line(config::plan_text(applied.changes));
    if (applied.changes.empty()) return spdlog::info("{}: {}", what, counts);
    spdlog::info("{}, generation {}: {}; I/O paused for {:.1f} ms", what, applied.generation,
                 counts, std::chrono::duration<double, std::milli>(applied.pause).count());
}

}  // namespace

void apply_overrides(config::Spec& spec, const Overrides& overrides) {
    if (!overrides.listen.empty()) spec.listen = overrides.listen;
    if (overrides.seed) spec.seed = overrides.seed;
    if (overrides.shards) spec.shards = *overrides.shards;
    if (!overrides.control_path.empty()) spec.control.unix_path = overrides.control_path;
    if (overrides.passed != nullptr) overrides.passed->add_to(spec.listen);
}

Configuration::Configuration(Running& running, std::string path, Overrides overrides,
                             Companion* companion)
    : running_(running),
      path_(std::move(path)),
      overrides_(std::move(overrides)),
      companion_(companion) {
    reloads_.last_success = std::chrono::system_clock::now();
    if (path_.empty()) return;
    const auto state = running_.state();
    for (const auto& source : state->spec.sources) {
        texts_[source->name()] = source->text();
    }
    for (const std::string& file : state->spec.tls.paths()) texts_[file] = text_of(file);
}

std::vector<std::string> Configuration::files() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (const auto& [path, text] : texts_) all.push_back(path);
    return all;
}

bool Configuration::watches() const {
    return !path_.empty() && running_.state()->spec.reload.watch;
}

std::optional<config::Spec> Configuration::read_file(config::Diagnostics& found) {
    Texts texts;
    config::Surroundings around;
    around.remote_size = ask_remote_size(Ask::once);
    around.tls = check_tls;
    around.on_read = [&](const std::string& path, const std::string& text) { texts[path] = text; };
    auto spec = config::load_file(path_, found, around);
    if (spec) apply_overrides(*spec, overrides_);
    const std::lock_guard lock(mutex_);
    texts_ = std::move(texts);
    return spec;
}

void Configuration::look_for_changes() {
    Texts before;
    {
        const std::lock_guard lock(mutex_);
        before = texts_;
    }
    const bool same = std::ranges::all_of(
        before, [](const auto& each) { return text_of(each.first) == each.second; });
    if (!same) reload();
}

void Configuration::reload() {
    if (path_.empty()) {
        spdlog::warn("there is no table file to reload: this is the embedded one");
        return;
    }
    tell_reload_(true);
    reload_file();
    tell_reload_(false);
}

void Configuration::reload_file() {
    const std::string stays = path_ + " was not reloaded, what was live stays: ";
    try {
        config::Diagnostics found;
        const auto spec = read_file(found);
        if (!spec) throw refused(std::move(found));
        tell(path_ + " reloaded", apply(*spec, {.allow_data_loss = spec->reload.allow_data_loss}));
    } catch (const BadTable& bad) {
        spdlog::error("{}\n{}", stays, bad.found.human());
    } catch (const ReloadError& error) {
        spdlog::error("{}{}{}{}", stays, error.what(), error.help.empty() ? "" : "; ", error.help);
    } catch (const std::exception& error) {
        spdlog::error("{}{}", stays, error.what());
    }
}

/// The one way to another table file, once it has been read.
Applied Configuration::apply(const config::Spec& spec, const ApplyOptions& options) {
    try {
        Applied applied = running_.apply(spec, options, companion_);
        ended(true, last_line(config::plan_text(applied.changes)));
        return applied;
    } catch (const ReloadError& error) {
        // Whoever asked came too late: nothing was wrong with what is live or wanted.
        if (error.kind != ReloadError::Kind::stale) ended(false, error.what());
        throw;
    } catch (BadTable& bad) {
        throw refused(std::move(bad.found));
    } catch (const std::exception& error) {
        ended(false, error.what());
        throw;
    }
}

/// A reload that failed because of its table file.
BadTable Configuration::refused(config::Diagnostics found) {
    const std::string text = found.brief();  // A line each; warnings may come first.
    const std::size_t begin = text.rfind('\n', text.find(": error: ")) + 1;
    ended(false, text.substr(begin, text.find('\n', begin) - begin));
    return BadTable(std::move(found));
}

/// To be counted, and told to whoever listens.
void Configuration::ended(bool successful, const std::string& message) {
    const std::lock_guard lock(mutex_);
    ++(successful ? reloads_.successes : reloads_.failures);
    reloads_.last_successful = successful;
    if (successful) reloads_.last_success = std::chrono::system_clock::now();
    const Json data = {
        {"successful", successful}, {"generation", running_.generation()}, {"message", message}};
    running_.feed().tell("reload", data.dump(-1, ' ', false, Json::error_handler_t::replace));
}

LiveConfig::Reloads Configuration::reloads() {
    const std::lock_guard lock(mutex_);
    Reloads reloads = reloads_;
    reloads.generation = running_.generation();
    return reloads;
}

LiveConfig::Live Configuration::live() {
    const std::uint64_t generation = running_.generation();
    return {config::yaml_text(running_.live_spec()), generation};
}

/// What is served already may be named again.
std::optional<std::string> Configuration::forbids(const std::string& path) {
    const auto state = running_.state();
    const auto is_served = [&](const auto& store) {
        const config::StoreSpec& spec = store->spec();
        return spec.path == path || spec.tls.psk_path == path || spec.tls.certificates == path;
    };
    if (std::ranges::any_of(state->stores, is_served)) return std::nullopt;
    const auto credentials = state->spec.tls.paths();
    if (std::ranges::find(credentials, path) != credentials.end()) return std::nullopt;
    std::vector<std::string> roots = state->spec.data_roots;
    if (!path_.empty() && roots.empty()) roots.push_back(folder_of(path_));
    std::string all;
    for (const std::string& root : roots) {
        if (lies_in(path, root)) return std::nullopt;
        all += (all.empty() ? "" : ", ") + config::in_quotes(root);
    }
    return "is in none of the data_roots of the server" + (all.empty() ? "" : ": " + all);
}

std::optional<config::Spec> Configuration::read(const Sent& sent, config::Diagnostics& found) {
    config::Surroundings around;
    around.remote_size = ask_remote_size(Ask::once);
    around.tls = check_tls;
    around.forbids = [this](const std::string& path) { return forbids(path); };
    auto spec = config::load_text(sent.name, sent.text, found, around);
    if (!spec) return std::nullopt;
    apply_overrides(*spec, overrides_);
    const std::vector<std::string> roots = running_.state()->spec.data_roots;
    if (spec->data_roots.empty()) spec->data_roots = roots;
    if (spec->data_roots == roots) return spec;
    found.error({spec->sources.front().get(), 0, 0, 0},
                {"data-roots",
                 "data_roots can't be changed from outside",
                 {},
                 "change them in the table file of the server"});
    return std::nullopt;
}

config::Spec Configuration::read_good(const Sent& sent) {
    config::Diagnostics found;
    auto spec = read(sent, found);
    if (!spec) throw BadTable(std::move(found));
    return std::move(*spec);
}

config::Spec Configuration::read_to_apply(const Sent& sent) {
    try {
        return read_good(sent);
    } catch (BadTable& bad) {
        throw refused(std::move(bad.found));
    }
}

LiveConfig::Checked Configuration::check(const Sent& sent) {
    Checked checked;
    checked.good = read(sent, checked.found).has_value();
    return checked;
}

std::vector<config::Change> Configuration::plan(const Sent& sent) {
    return running_.plan(read_good(sent));
}

Applied Configuration::apply(const Sent& sent, const ApplyOptions& options) {
    Applied applied = apply(read_to_apply(sent), options);
    tell(config::in_quotes(sent.name) + " applied", applied);
    const std::lock_guard lock(mutex_);
    const auto own = texts_.find(path_);
    if (watches() && own != texts_.end() && own->second != sent.text) {
        applied.note = "this is live until " + path_ + " changes again";
    }
    return applied;
}

}  // namespace server
