#include "server/running.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "config/build.h"
#include "config/diagnostic.h"
#include "dmcore/stores/memory.h"

namespace server {
namespace {

constexpr std::chrono::milliseconds poll_interval{5};
constexpr std::chrono::milliseconds farewell{500};  // For the last replies, after `drain`.

/// A failure to open something, shown at its line of the table file.
[[noreturn]] void fail_at(const config::Position& at, std::string slug, std::string message,
                          std::string help = {}) {
    config::Diagnostics found;
    found.error(at,
                {.slug = std::move(slug), .message = std::move(message), .help = std::move(help)});
    throw StartError(found.human(), 1);
}

}  // namespace

Running::Running(const config::Spec& spec, std::uint64_t seed, unsigned shard_count)
    : spec_(spec),
      seed_(seed),
      control_work_(asio::make_work_guard(control_)),
      shards_(shard_count, control_) {
    shards_.start();
    control_thread_ = std::thread([this] { control_.run(); });
    try {
        for (const auto& store : spec_.stores) open_store(store);
        for (const std::size_t i : spec_.build_order) open_device(spec_.devices[i]);
    } catch (...) {
        control_work_.reset();
        control_thread_.join();
        shards_.stop();
        throw;
    }
    std::vector<std::shared_ptr<const Export>> all;
    for (const auto& one : spec_.exports) {
        all.push_back(std::make_shared<Export>(one, *find_device(one.device)));
    }
    exports_ = std::make_shared<ExportTable>(std::move(all));
    shards_.run_on_all([this](Shard& shard) {
        std::vector<dmcore::Lane*> lanes;
        for (auto& device : devices_) lanes.push_back(&device->lane(shard.index()));
        shard.set_lanes(std::move(lanes));
    });
}

Running::~Running() {
    run_on_control([this] { listeners_.clear(); });
    shards_.stop();
    control_work_.reset();
    control_thread_.join();
    // From the top down: what is above points to what is below.
    while (!devices_.empty()) devices_.pop_back();
}

void Running::open_store(const config::StoreSpec& spec) {
    Store store{spec, nullptr, {}};
    if (spec.type == config::StoreSpec::Type::memory) {
        const auto memory = std::make_shared<dmcore::MemoryStore>(spec.name, spec.size_sectors);
        for (unsigned i = 0; i < shards_.shards(); ++i) {
            store.fronts.push_back(std::make_unique<dmcore::MemoryDevice>(memory));
        }
        stores_.push_back(std::move(store));
        return;
    }
    std::vector<Inbox*> inboxes;
    for (unsigned i = 0; i < shards_.shards(); ++i) inboxes.push_back(&shards_[i]);
    try {
        store.file = std::make_shared<FileStore>(
            spec.name,
            FileStore::Options{.path = spec.path,
                               .size_sectors = spec.size_sectors,
                               .create = spec.create,
                               .punch = spec.discard == config::StoreSpec::Discard::punch});
    } catch (const StoreError& error) {
        fail_at(spec.path_position, "store-open", error.what());
    }
    const auto threads = std::make_shared<FileThreads>(store.file, inboxes);
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        store.fronts.push_back(std::make_unique<FileDevice>(threads, i, shards_[i].agenda()));
    }
    stores_.push_back(std::move(store));
}

void Running::open_device(const config::DeviceSpec& spec) {
    devices_.push_back(std::make_unique<dmcore::MappedDevice>(spec.name, shards_, shards_.seams(),
                                                              config::options_of(spec)));
    try {
        devices_.back()->load(build(spec));
    } catch (const dmcore::TableError& error) {
        fail_at(spec.place.of(error.row, error.word, error.part), error.slug,
                "device '" + spec.name + "': " + error.message, error.help);
    }
    devices_.back()->on_event([this] { events_.ring(); });
    steps_.try_emplace(spec.name, *devices_.back());
    resume(spec.name, false);
}

dmcore::TableSet Running::build(const config::DeviceSpec& spec) {
    return config::build_tables(
        spec, shards_.seams(), Shard::clock_time(), seed_,
        [this](const std::string& name, unsigned shard) { return find(name, shard); },
        [this](unsigned shard, const std::function<void()>& what) { run_on_shard(shard, what); });
}

dmcore::BlockDevice* Running::find(const std::string& name, unsigned shard) {
    const auto store = std::find_if(stores_.begin(), stores_.end(),
                                    [&](const Store& each) { return each.spec.name == name; });
    if (store != stores_.end()) return store->fronts[shard].get();
    dmcore::MappedDevice* device = find_device(name);
    return device == nullptr ? nullptr : &device->lane(shard);
}

dmcore::MappedDevice* Running::find_device(const std::string& name) {
    const auto found = std::find_if(devices_.begin(), devices_.end(),
                                    [&](const auto& each) { return each->name() == name; });
    return found == devices_.end() ? nullptr : found->get();
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

void Running::listen(const std::vector<config::ListenSpec>& addresses) {
    std::vector<std::unique_ptr<Listener>> bound;
    try {
        for (const auto& address : addresses) {
            bound.push_back(std::make_unique<Listener>(control_, shards_, address));
        }
    } catch (const ListenError& error) {
        throw StartError(error.what(), error.in_use ? 5 : 1);
    }
    run_on_control([&] {
        listeners_ = std::move(bound);
        for (auto& listener : listeners_) listener->start(exports_);
        listening_ = true;
    });
}

std::vector<std::string> Running::uris() const {
    std::vector<std::string> uris;
    for (const auto& listener : listeners_) uris.push_back(listener->uri());
    return uris;
}

bool Running::wait_for_clients(std::chrono::steady_clock::time_point until) {
    for (;;) {
        std::atomic<std::size_t> left{0};
        shards_.run_on_all([&](Shard& shard) { left += shard.connections().size(); });
        if (left == 0) return true;
        if (std::chrono::steady_clock::now() >= until) return false;
        std::this_thread::sleep_for(poll_interval);
    }
}

/// Lets the targets of all devices finish, what is on top first. False: `until` came first.
bool Running::retire_devices(std::chrono::steady_clock::time_point until) {
    std::vector<dmcore::MappedDevice*> left;
    for (auto& device : devices_) left.push_back(device.get());
    const auto carries_another = [&left](const dmcore::MappedDevice* device) {
        return std::ranges::any_of(left, [&](const dmcore::MappedDevice* other) {
            return other->has_live_table() &&
                   std::ranges::count(other->live()->below, device->name()) > 0;
        });
    };
    while (!left.empty()) {
        const auto retired = std::make_shared<std::promise<void>>();
        run_on_control([&] {
            const auto top = std::ranges::find_if_not(left, carries_another);
            dmcore::MappedDevice& device = **top;  // Live tables form no circle.
            left.erase(top);
            device.retire([retired] { retired->set_value(); });
        });
        if (retired->get_future().wait_until(until) != std::future_status::ready) return false;
    }
    return true;
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
    if (!retire_devices(std::chrono::steady_clock::now() + std::max(drain, farewell))) {
        return Drained::stuck;
    }
    Drained drained = Drained::clean;
    for (auto& store : stores_) {
        if (store.file == nullptr || store.file->sync()) continue;
        spdlog::error("store '{}': its last writes could not be made durable", store.spec.name);
        drained = Drained::not_durable;
    }
    return drained;
}

}  // namespace server
