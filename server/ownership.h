#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "server/background.h"
#include "server/device.h"
#include "server/net/shards.h"
#include "server/open_store.h"

namespace server {

/// Keeps devices and stores until nobody uses them any more: no table file, no table, no client.
/// Whoever lets the last reference go may be any thread, a shard too; the end is here, where it may
/// take its time: a device is retired, a store is closed.
class Ownership {
  public:
    explicit Ownership(Shards& shards) : shards_(shards) {}
    /// Waits until all of them are gone.
    ~Ownership();
    Ownership(const Ownership&) = delete;
    Ownership& operator=(const Ownership&) = delete;

    /// Any thread.
    std::shared_ptr<Device> keep(std::unique_ptr<Device> device);
    std::shared_ptr<OpenStore> keep(std::unique_ptr<OpenStore> store);
    /// All that is alive, whether a table file still names it or not.
    std::vector<std::shared_ptr<Device>> devices();
    std::vector<std::shared_ptr<OpenStore>> stores();
    /// Are all devices gone by then?
    bool wait_for_devices(std::chrono::steady_clock::time_point until);
    Background& background() noexcept { return background_; }

  private:
    /// Things of one kind.
    template <class Thing>
    struct All {
        std::vector<std::weak_ptr<Thing>> known;
        std::size_t count = 0;  // Until they are destroyed, which is later than `known` tells.
    };

    template <class Thing, class Destroy>
    std::shared_ptr<Thing> keep(std::unique_ptr<Thing> thing, All<Thing>& all, Destroy destroy);
    template <class Thing>
    std::vector<std::shared_ptr<Thing>> alive(All<Thing>& all);
    template <class Thing>
    void destroy(Thing* thing, All<Thing>& all);
    void retire(Device* device);

    Shards& shards_;
    std::mutex mutex_;  // Guards the next two.
    All<Device> devices_;
    All<OpenStore> stores_;
    std::condition_variable gone_;
    Background background_;
};

}  // namespace server
