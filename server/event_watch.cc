#include "server/event_watch.h"

#include <nlohmann/json.hpp>

namespace server {
namespace {

using Json = nlohmann::ordered_json;

/// Requeues are told, and readers woken, in every fourth look.
constexpr unsigned looks_a_second = std::chrono::seconds(1) / EventWatch::interval;

}  // namespace

EventWatch::EventWatch(Live& live, EventFeed& feed)
    : live_(live), feed_(feed), thread_([this] { run(); }) {}

EventWatch::~EventWatch() {
    feed_.end();
    thread_.join();
}

/// What happened while nobody listened is not told afterwards.
void EventWatch::run() {
    for (unsigned looks = 0;; ++looks) {
        const bool slow_turn = looks % looks_a_second == 0;
        const EventFeed::Heard heard = feed_.wait(interval);
        if (heard == EventFeed::Heard::no_more) return;
        if (heard == EventFeed::Heard::anew) {
            devices_.clear();
            store_errors_.clear();
        }
        try {
            look(slow_turn);
        } catch (const StepError&) {
            return;  // The server stops.
        }
        if (slow_turn) feed_.pulse();
    }
}

void EventWatch::look(bool at_requeues) {
    for (const DeviceInfo& device : live_.devices()) look_at(device, at_requeues);
    for (const StoreInfo& store : live_.stores()) {
        const auto [known, is_new] = store_errors_.try_emplace(store.name, store.errors);
        if (is_new || known->second == store.errors) continue;
        known->second = store.errors;
        feed_.tell("store", Json{{"store", store.name}, {"errors", store.errors}}.dump());
    }
}

void EventWatch::look_at(const DeviceInfo& device, bool at_requeues) {
    const Known now{device.suspended, device.event_number, device.flakey_up, device.stats.stage_one,
                    device.stats.stage_two};
    const auto [found, is_new] = devices_.try_emplace(device.name, now);
    if (is_new) return;
    Known& known = found->second;
    if (known.suspended != now.suspended || known.event_number != now.event_number) {
        feed_.tell("device", Json{{"device", device.name},
                                  {"suspended", now.suspended},
                                  {"event_number", now.event_number}}
                                 .dump());
    }
    if (now.flakey_up && known.flakey_up != now.flakey_up) {
        feed_.tell("flakey", Json{{"device", device.name}, {"up", *now.flakey_up}}.dump());
    }
    const bool moved = known.stage_one != now.stage_one || known.stage_two != now.stage_two;
    if (at_requeues && moved) {
        feed_.tell("requeue", Json{{"device", device.name},
                                   {"stage_one", now.stage_one},
                                   {"stage_two", now.stage_two},
                                   {"deferred", device.stats.deferred},
                                   {"waiting_retry", device.stats.waiting_retry}}
                                  .dump());
    }
    const Known before = known;
    known = now;
    if (!at_requeues) {
        known.stage_one = before.stage_one;
        known.stage_two = before.stage_two;
    }
}

}  // namespace server
