#include "server/ownership.h"

namespace server {

Ownership::~Ownership() {
    std::unique_lock lock(mutex_);
    gone_.wait(lock, [this] { return devices_.count == 0 && stores_.count == 0; });
}

bool Ownership::wait_for_devices(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    return gone_.wait_until(lock, until, [this] { return devices_.count == 0; });
}

template <class Thing, class Destroy>
std::shared_ptr<Thing> Ownership::keep(std::unique_ptr<Thing> thing, All<Thing>& all,
                                       Destroy destroy) {
    const std::lock_guard lock(mutex_);
    std::erase_if(all.known, [](const auto& each) { return each.expired(); });
    ++all.count;
    std::shared_ptr<Thing> kept(thing.release(), destroy);
    all.known.push_back(kept);
    return kept;
}

template <class Thing>
std::vector<std::shared_ptr<Thing>> Ownership::alive(All<Thing>& all) {
    std::vector<std::shared_ptr<Thing>> found;
    const std::lock_guard lock(mutex_);
    for (const auto& each : all.known) {
        if (auto thing = each.lock()) found.push_back(std::move(thing));
    }
    return found;
}

std::vector<std::shared_ptr<Device>> Ownership::devices() {
    return alive(devices_);
}

std::vector<std::shared_ptr<OpenStore>> Ownership::stores() {
    return alive(stores_);
}

template <class Thing>
void Ownership::destroy(Thing* thing, All<Thing>& all) {
    background_.post([this, thing, &all] {
        delete thing;
        const std::lock_guard lock(mutex_);
        --all.count;
        gone_.notify_all();
    });
}

std::shared_ptr<OpenStore> Ownership::keep(std::unique_ptr<OpenStore> store) {
    return keep(std::move(store), stores_, [this](OpenStore* last) { destroy(last, stores_); });
}

std::shared_ptr<Device> Ownership::keep(std::unique_ptr<Device> device) {
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        shards_.post(i,
                     [&shard = shards_[i], lane = &device->mapped.lane(i)] { shard.add(*lane); });
    }
    return keep(std::move(device), devices_,
                [this](Device* last) { shards_.post_control([this, last] { retire(last); }); });
}

/// On the control thread.
void Ownership::retire(Device* device) {
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        shards_.post(
            i, [&shard = shards_[i], lane = &device->mapped.lane(i)] { shard.remove(*lane); });
    }
    device->mapped.retire(
        [this, device] { device->mapped.end([this, device] { destroy(device, devices_); }); });
}

}  // namespace server
