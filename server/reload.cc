#include "server/reload.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "config/answer_times.h"
#include "config/build.h"
#include "config/diagnostic.h"
#include "server/live.h"
#include "server/running.h"

namespace server {
namespace {

constexpr std::chrono::milliseconds end_check_interval{20};

/// A failure to open something, shown at its line of the table file.
[[noreturn]] void fail_at(const config::Position& at, config::Report report) {
    config::Diagnostics found;
    found.error(at, std::move(report));
    throw BadTable(std::move(found));
}

ReloadError stopping() {
    return {ReloadError::Kind::stopping, "stopping", "the server is stopping"};
}

bool names(const std::vector<config::ListenSpec>& all, const Listener& one) {
    return std::ranges::find(all, one.spec().uri, &config::ListenSpec::uri) != all.end();
}

}  // namespace

Reload::Reload(Running& running, const config::Spec& wanted, const ApplyOptions& options,
               Companion* companion)
    : running_(running),
      wanted_(wanted),
      options_(options),
      companion_(companion),
      live_(running.state()),
      live_spec_(running.live_spec()) {}

Applied Reload::run() {
    changes_ = config::diff(live_spec_, wanted_);
    if (changes_.empty()) return {.generation = running_.generation()};
    try {
        prepare();
        suspend();
    } catch (...) {
        undo();
        throw;
    }
    commit();
    return {std::move(changes_), running_.generation(), pause_};
}

void Reload::prepare() {
    refuse_lost_data();
    next_->spec = wanted_;
    open_stores();
    make_devices();
    refuse_broken_inactive();
    build_tables();
    make_exports();
    load_credentials();
    bind_listeners();
    if (companion_ != nullptr) {
        companion_->prepare(wanted_);
        companion_ready_ = true;
    }
    refuse_broken_promises();
}

void Reload::open_stores() {
    for (const config::StoreSpec& spec : wanted_.stores) {
        std::shared_ptr<OpenStore> store = live_->store(spec.name);
        const bool stays =
            store != nullptr && store->spec().path == spec.path && store->serves(spec);
        next_->stores.push_back(stays ? std::move(store) : open_store(spec));
    }
}

/// A file that is open already is not opened again: it would find its own lock [O-11].
std::shared_ptr<OpenStore> Reload::open_store(const config::StoreSpec& spec) {
    std::shared_ptr<OpenFile> open;
    if (const auto identity = identity_of(spec.path); !spec.path.empty() && identity) {
        for (const auto& each : running_.ownership().stores()) {
            const auto file = each->file();
            if (file == nullptr || file->identity() != *identity) continue;
            if (each->serves(spec)) return each;
            open = file;
        }
    }
    const bool handed_over = open != nullptr;
    try {
        auto store = running_.ownership().keep(
            server::open_store(spec, running_.shards(), running_.file_threads(), std::move(open)));
        if (!handed_over && store->file() != nullptr) opened_.push_back(store);
        return store;
    } catch (const StoreError& error) {
        const bool remote = spec.type == config::StoreSpec::Type::nbd;
        fail_at(remote ? spec.uri_position : spec.path_position, {"store-open", error.what()});
    } catch (const std::bad_alloc&) {
        fail_at(spec.position, {"no-memory", "store " + config::in_quotes(spec.name) +
                                                 ": there is not enough memory"});
    }
}

void Reload::make_devices() {
    for (const config::DeviceSpec& spec : wanted_.devices) {
        std::shared_ptr<Device> device = live_->device(spec.name);
        if (device == nullptr) device = running_.make_device(spec);
        next_->devices.push_back(std::move(device));
    }
}

/// Other rows, or the same ones on other things.
bool Reload::needs_table(const config::DeviceSpec& spec, Device& device) const {
    if (!live_->has(device)) return true;
    if (live_spec_.find_device(spec.name)->rows != spec.rows) return true;
    return std::ranges::any_of(spec.below, [this](const std::string& name) {
        return live_->object(name) != next_->object(name);
    });
}

void Reload::build_tables() {
    std::vector<dmcore::JointSwap::Part> parts;
    for (const std::size_t index : wanted_.build_order) {
        const config::DeviceSpec& spec = wanted_.devices[index];
        const auto& device = next_->devices[index];
        if (!needs_table(spec, *device)) continue;
        parts.push_back({&device->mapped, build(spec), config::options_of(spec)});
        parts_.push_back(device);
    }
    if (parts.empty()) return;
    std::vector<dmcore::MappedDevice*> all;
    all_ = running_.ownership().devices();
    for (const auto& each : all_) all.push_back(&each->mapped);
    joint_ = std::make_unique<dmcore::JointSwap>(std::move(parts), std::move(all));
}

dmcore::TableSet Reload::build(const config::DeviceSpec& spec) const {
    const auto find = [this](const std::string& name, unsigned shard) -> dmcore::Lower {
        if (const auto store = next_->store(name)) return &store->front(shard);
        const auto device = next_->device(name);
        if (device == nullptr) return nullptr;
        return {&device->mapped.lane(shard), wanted_.find_device(name)->limits};
    };
    try {
        dmcore::TableSet tables =
            config::build_tables(spec, running_.shards().seams(), Shard::clock_time(),
                                 wanted_.seed.value_or(running_.seed()), find);
        tables.keep = next_->keep(spec.below);
        return tables;
    } catch (const dmcore::TableError& error) {
        fail_at(spec.place.of(error.row, error.word, error.part),
                {error.slug,
                 "device " + config::in_quotes(spec.name) + ": " + error.message,
                 {},
                 error.help});
    }
}

void Reload::make_exports() {
    std::vector<std::shared_ptr<const Export>> all;
    const auto answer_times = config::answer_times(wanted_);
    for (const config::ExportSpec& spec : wanted_.exports) {
        const auto device = next_->device(spec.device);
        const auto old = live_->exports->find(spec.name);
        const dmcore::Time answer = answer_times.at(spec.device);
        const bool stays = old != nullptr && old->spec() == spec &&
                           &old->device() == device.get() && old->answer_time() == answer;
        all.push_back(stays ? old : std::make_shared<Export>(spec, device, old.get(), answer));
    }
    next_->exports = std::make_shared<ExportTable>(std::move(all));
}

/// Those of files that have not changed stay.
void Reload::load_credentials() {
    next_->tls = live_->tls;
    if (live_->spec.tls == wanted_.tls) return;
    try {
        next_->tls = load_tls(wanted_.tls);
    } catch (config::TlsTrouble& trouble) {
        fail_at(trouble.at, std::move(trouble.report));
    }
}

void Reload::bind_listeners() {
    try {
        for (const config::ListenSpec& spec : wanted_.listen) {
            const bool is_bound = std::ranges::any_of(running_.listeners(), [&](const auto& each) {
                return each->spec().uri == spec.uri;
            });
            if (!is_bound) bound_.push_back(running_.make_listener(spec));
        }
    } catch (const ListenError& error) {
        const auto kind = error.in_use ? ReloadError::Kind::refused : ReloadError::Kind::failed;
        throw ReloadError(kind, "listen", error.what());
    }
}

/// Waits until `done` is set. Throws what it was set to, and ReloadError if it is too late, or the
/// server ends.
void Reload::await(std::future<void>& done, Time until) const {
    while (done.wait_for(end_check_interval) != std::future_status::ready) {
        if (running_.stopping()) throw stopping();
        if (std::chrono::steady_clock::now() >= until) fail_suspend();
    }
    done.get();
}

/// Runs a step on the control thread and waits for its end, which comes by itself.
void Reload::ask(const std::function<void(Then)>& step) {
    const auto done = std::make_shared<std::promise<void>>();
    auto ended = done->get_future();
    running_.run_on_control([&] { step([done] { done->set_value(); }); });
    ended.get();
}

void Reload::suspend() {
    if (joint_ == nullptr) return;
    const Time until =
        std::chrono::steady_clock::now() +
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(options_.timeout);
    // Steps that somebody takes by hand end first, and then wait.
    held_ = true;
    for (const auto& part : parts_) {
        const auto granted = std::make_shared<std::promise<void>>();
        auto done = granted->get_future();
        running_.run_on_control([&] {
            part->steps.hold([granted](const std::exception_ptr& why) {
                if (why == nullptr) {
                    granted->set_value();
                } else {
                    granted->set_exception(std::make_exception_ptr(stopping()));
                }
            });
        });
        await(done, until);
    }
    const auto quiet = std::make_shared<std::promise<void>>();
    auto done = quiet->get_future();
    suspending_ = true;
    paused_at_ = std::chrono::steady_clock::now();
    running_.run_on_control([&] { joint_->suspend([quiet] { quiet->set_value(); }); });
    await(done, until);
}

void Reload::fail_suspend() const {
    std::string names;
    running_.run_on_control([&] {
        for (const auto& part : parts_) {
            if (part->mapped.suspended()) continue;
            names += (names.empty() ? "" : ", ") + config::in_quotes(part->mapped.name());
        }
    });
    const auto seconds = std::chrono::duration<double>(options_.timeout).count();
    char text[32];
    std::snprintf(text, sizeof text, "%g s", seconds);
    throw ReloadError(ReloadError::Kind::late, "suspend-timeout",
                      "I/O of " + names + " did not end within " + text + "; all goes on as before",
                      "give it longer with --timeout, or see to what is below");
}

void Reload::undo() noexcept {
    if (suspending_) ask([this](Then then) { joint_->undo(std::move(then)); });
    if (held_) {
        running_.run_on_control([this] {
            for (const auto& part : parts_) part->steps.release();
        });
    }
    if (companion_ready_) companion_->undo();
    for (const auto& store : opened_) store->file()->remove_if_made();
}

void Reload::commit() {
    if (joint_ != nullptr) {
        ask([this](Then then) { joint_->commit(std::move(then)); });
        pause_ = std::chrono::steady_clock::now() - paused_at_;
    }
    change_options();
    if (held_) {
        running_.run_on_control([this] {
            for (const auto& part : parts_) part->steps.release();
        });
    }
    running_.go_on_with(next_);
    change_listeners();
    if (companion_ready_) companion_->commit();
    see_off_clients();
    // What only old tables stood on is closed once it has been flushed [O-4].
    running_.run_on_shard(0, [this] {
        for (const auto& part : parts_) part->mapped.lane(0).settle();
    });
}

/// Of devices whose table stays.
void Reload::change_options() {
    for (std::size_t i = 0; i < next_->devices.size(); ++i) {
        const auto& device = next_->devices[i];
        if (std::ranges::find(parts_, device) != parts_.end()) continue;
        const config::DeviceSpec& spec = wanted_.devices[i];
        const dmcore::DeviceOptions options = config::options_of(spec);
        if (config::options_of(*live_spec_.find_device(spec.name)) == options) continue;
        ask([&](Then then) { device->mapped.set_options(options, std::move(then)); });
    }
}

void Reload::change_listeners() {
    running_.run_on_control([this] {
        auto& listeners = running_.listeners();
        for (auto& each : listeners) {
            const auto spec =
                std::ranges::find(wanted_.listen, each->spec().uri, &config::ListenSpec::uri);
            if (spec != wanted_.listen.end()) each->offer(*spec);
        }
        std::erase_if(listeners,
                      [this](const auto& each) { return !names(wanted_.listen, *each); });
        for (auto& each : bound_) {
            each->start();
            listeners.push_back(std::move(each));
        }
    });
}

/// Those whose export or device is gone have some time to leave.
void Reload::see_off_clients() {
    std::vector<std::pair<unsigned, std::weak_ptr<Connection>>> leaving;
    for (unsigned i = 0; i < running_.shards().shards(); ++i) {
        running_.run_on_shard(i, [&] {
            for (const auto& each : running_.shards()[i].connections()) {
                if (!next_->serves(*each)) leaving.emplace_back(i, each);
            }
        });
    }
    if (!leaving.empty()) running_.see_off(std::move(leaving), wanted_.reload.drain);
}

}  // namespace server
