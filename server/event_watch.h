#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "server/event_feed.h"
#include "server/live.h"

namespace server {

/// Tells what has become of devices and stores, by looking at them at short intervals while
/// somebody listens: `device`, `flakey`, `requeue` and `store`. What changed and changed back in
/// between is not told, so nothing that happens often can flood anybody; the data path does nothing
/// for it. Made and destroyed on one thread.
class EventWatch {
  public:
    static constexpr std::chrono::milliseconds interval{250};

    /// Borrows both. Looks until the feed ends, on a thread of its own.
    EventWatch(Live& live, EventFeed& feed);
    /// Ends the feed.
    ~EventWatch();
    EventWatch(const EventWatch&) = delete;
    EventWatch& operator=(const EventWatch&) = delete;

  private:
    /// As it was told, or found by the first look.
    struct Known {
        bool suspended = false;
        std::uint64_t event_number = 0;
        std::optional<bool> flakey_up;
        std::uint64_t stage_one = 0;
        std::uint64_t stage_two = 0;
    };

    void run();
    void look(bool at_requeues);
    void look_at(const DeviceInfo& device, bool at_requeues);

    Live& live_;
    EventFeed& feed_;
    std::map<std::string, Known> devices_;
    std::map<std::string, std::uint64_t> store_errors_;
    std::thread thread_;
};

}  // namespace server
