#include "server/running.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "config/build.h"
#include "server/limits.h"
#include "server/net/passed_sockets.h"
#include "server/reload.h"

namespace server {
namespace {

constexpr std::chrono::milliseconds farewell{500};  // For the last replies, after `drain`.

}  // namespace

/// A start is a reload of nothing, without clients to think of.
Running::Running(const config::Spec& spec, std::uint64_t seed, unsigned shard_count,
                 std::shared_ptr<const PassedSockets> passed)
    : seed_(seed),
      control_work_(asio::make_work_guard(control_)),
      shards_(shard_count, control_),
      passed_(std::move(passed)),
      file_threads_(std::make_shared<FileThreads>()),
      ownership_(std::make_unique<Ownership>(shards_)) {
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        shards_[i].on_client(
            [this](const Connection& client, const char* state) { tell_client(client, state); });
    }
    shards_.start();
    control_thread_ = std::thread([this] { control_.run(); });
    config::Spec first = spec;
    first.listen.clear();  // That is for listen().
    first.seed.reset();    // `seed` has been decided.
    try {
        Reload(*this, first, {}, nullptr).run();
    } catch (const BadTable& bad) {
        end();
        throw StartError(bad.found.human(), 1);
    } catch (...) {
        end();
        throw;
    }
}

Running::~Running() {
    end();
}

void Running::end() {
    run_on_control([this] { listeners_.clear(); });
    leave_all();
    ownership_.reset();
    shards_.stop();
    control_work_.reset();
    control_thread_.join();
}

void Running::run_on_control(const std::function<void()>& what) {
    std::promise<void> done;
    asio::post(control_, [&] {
        what();
        done.set_value();
    });
    done.get_future().get();
}

void Running::run_on_shard(unsigned shard, const std::function<void()>& what) {
    std::promise<void> done;
    shards_[shard].post([&] {
        what();
        done.set_value();
    });
    done.get_future().get();
}

std::shared_ptr<const State> Running::state() const {
    const std::lock_guard lock(state_mutex_);
    return state_;
}

void Running::set_state(std::shared_ptr<const State> next) {
    const std::lock_guard lock(state_mutex_);
    state_.swap(next);  // The old one goes behind the lock.
}

/// Everything that nobody else uses goes now, what is on top first: it keeps what is below.
void Running::leave_all() {
    const auto nothing = std::make_shared<State>();
    shards_.run_on_all([&](Shard& shard) { shard.set_exports(nothing->exports); });
    set_state(nothing);
}

void Running::go_on_with(std::shared_ptr<const State> next) {
    seed_ = next->spec.seed.value_or(seed_);
    set_state(next);
    ++generation_;
    shards_.run_on_all([&](Shard& shard) {
        shard.set_tls(next->tls);
        shard.set_exports(next->exports);
    });
    events_.ring();
}

std::shared_ptr<Device> Running::make_device(const config::DeviceSpec& spec) {
    auto device = ownership_->keep(
        std::make_unique<Device>(spec.name, shards_, shards_.seams(), config::options_of(spec)));
    device->mapped.on_event([this] { events_.ring(); });
    device->mapped.on_swap([this](const dmcore::MappedDevice::Then& then) {
        ++generation_;
        restack(then);
    });
    return device;
}

/// A device has taken another table by hand: what stands on it learns what it can do now. On the
/// control thread.
void Running::restack(const std::function<void()>& then) {
    const auto devices = ownership_->devices();
    std::vector<dmcore::MappedDevice*> mapped;
    for (const auto& each : devices) mapped.push_back(&each->mapped);
    dmcore::restack(mapped, shards_, [devices, then] { then(); });
}

std::unique_ptr<Listener> Running::make_listener(const config::ListenSpec& spec) {
    Socket passed = passed_ == nullptr ? Socket() : passed_->at(spec);
    return std::make_unique<Listener>(control_, shards_, spec, std::move(passed));
}

void Running::listen(const std::vector<config::ListenSpec>& addresses) {
    std::vector<std::unique_ptr<Listener>> bound;
    try {
        for (const auto& address : addresses) bound.push_back(make_listener(address));
    } catch (const ListenError& error) {
        throw StartError(error.what(), error.in_use ? 5 : 1);
    }
    const std::lock_guard one_at_a_time(changing_);
    run_on_control([&] {
        listeners_ = std::move(bound);
        for (auto& listener : listeners_) listener->start();
        listening_ = true;
    });
    auto next = std::make_shared<State>(*state());
    next->spec.listen = addresses;
    set_state(std::move(next));
}

std::vector<std::string> Running::uris() const {
    std::vector<std::string> uris;
    for (const auto& listener : listeners_) uris.push_back(listener->uri());
    return uris;
}

Applied Running::apply(const config::Spec& wanted, const ApplyOptions& options,
                       Companion* companion) {
    using Kind = ReloadError::Kind;
    const std::lock_guard one_at_a_time(changing_);
    if (stopping()) throw ReloadError(Kind::stopping, "stopping", "the server is stopping");
    if (options.if_generation && *options.if_generation != generation_) {
        throw ReloadError(Kind::stale, "stale",
                          "generation " + std::to_string(generation_) + " is live, not " +
                              std::to_string(*options.if_generation),
                          "look at what has changed, and apply again");
    }
    return Reload(*this, wanted, options, companion).run();
}

config::Spec Running::live_spec() {
    const auto state = this->state();
    config::Spec spec = state->spec;
    spec.seed = seed_;
    std::vector<std::shared_ptr<const dmcore::TableShared>> tables(spec.devices.size());
    run_on_control([&] {
        for (std::size_t i = 0; i < tables.size(); ++i)
            tables[i] = state->devices[i]->mapped.live();
    });
    for (std::size_t i = 0; i < tables.size(); ++i) {
        config::DeviceSpec& device = spec.devices[i];
        if (tables[i]->rows == device.rows) continue;
        device.rows = tables[i]->rows;
        device.below = tables[i]->below;
        device.place = {};
        device.size_sectors = device.rows.back().start_sector + device.rows.back().sectors;
    }
    return spec;
}

std::vector<config::Change> Running::plan(const config::Spec& wanted) {
    return config::diff(live_spec(), wanted, waiting_clients());
}

bool Running::wait_for_clients(std::chrono::steady_clock::time_point until) {
    for (;;) {
        std::atomic<std::size_t> left{0};
        shards_.run_on_all([&](Shard& shard) { left += shard.connections().size(); });
        if (left == 0) return true;
        if (std::chrono::steady_clock::now() >= until) return false;
        std::this_thread::sleep_for(limits::client_look_interval);
    }
}

void Running::see_off(std::vector<std::pair<unsigned, std::weak_ptr<Connection>>> leaving,
                      std::chrono::nanoseconds drain) {
    const auto each_that_stayed = [this, leaving = std::move(leaving)](void (Connection::*what)()) {
        for (const auto& [shard, weak] : leaving) {
            shards_.post(shard, [state = state(), weak = weak, what] {
                const auto connection = weak.lock();
                if (connection != nullptr && !state->serves(*connection)) ((*connection).*what)();
            });
        }
    };
    Background& background = ownership_->background();
    background.after(drain, [each_that_stayed, &background] {
        each_that_stayed(&Connection::drain);
        background.after(farewell, [each_that_stayed] { each_that_stayed(&Connection::give_up); });
    });
}

Drained Running::drain(std::chrono::milliseconds drain) {
    const auto until = std::chrono::steady_clock::now() + drain;
    run_on_control([this] { listeners_.clear(); });
    const auto on_every_connection = [this](void (Connection::*what)()) {
        shards_.run_on_all([what](Shard& shard) {
            const auto all = shard.connections();  // A copy: they may remove themselves.
            for (const auto& each : all) ((*each).*what)();
        });
    };
    on_every_connection(&Connection::drain);
    bool quiet = wait_for_clients(until);
    if (!quiet) {
        on_every_connection(&Connection::give_up);
        quiet = wait_for_clients(std::chrono::steady_clock::now() + farewell);
    }
    if (!quiet) return Drained::stuck;
    const auto stores = ownership_->stores();
    leave_all();
    if (!ownership_->wait_for_devices(std::chrono::steady_clock::now() +
                                      std::max(drain, farewell))) {
        return Drained::stuck;
    }
    Drained drained = Drained::clean;
    for (const auto& store : stores) {
        if (store->sync()) continue;
        spdlog::error("store '{}': its last writes could not be made durable", store->name());
        drained = Drained::not_durable;
    }
    return drained;
}

}  // namespace server
