#pragma once

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "dmcore/clock.h"
#include "dmcore/executor.h"

namespace sim {

/// Time that moves only when an event says so; one for all shards.
class SimClock final : public dmcore::Clock {
  public:
    dmcore::Time now() const noexcept override { return now_; }
    void arm(dmcore::Timer& timer, dmcore::Time due) noexcept override {
        disarm(timer);
        timer.armed = true;
        timer.due = due;
        timers_.emplace(due, &timer);
    }
    void disarm(dmcore::Timer& timer) noexcept override {
        if (!timer.armed) return;
        timer.armed = false;
        const auto [first, last] = timers_.equal_range(timer.due);
        for (auto each = first; each != last; ++each) {
            if (each->second != &timer) continue;
            timers_.erase(each);
            return;
        }
    }
    bool any() const noexcept { return !timers_.empty(); }
    /// Moves to `until`, or to the first timer before it, which then fires.
    bool advance(dmcore::Time until) noexcept {
        if (timers_.empty() || timers_.begin()->first > until) {
            now_ = until;
            return false;
        }
        dmcore::Timer* timer = timers_.begin()->second;
        timers_.erase(timers_.begin());
        timer->armed = false;
        if (timer->due > now_) now_ = timer->due;
        timer->fire(timer->owner);
        return true;
    }
    dmcore::Time next() const noexcept { return timers_.begin()->first; }

  private:
    dmcore::Time now_ = std::chrono::seconds(1000);
    std::multimap<dmcore::Time, dmcore::Timer*> timers_;
};

/// Messages between the control thread and the shards, all of them this one thread. Those to one
/// place keep their order; which place is next is the seed's choice.
class Posts final : public dmcore::Executor {
  public:
    explicit Posts(unsigned shards) : queues_(shards + 1) {}

    unsigned shards() const noexcept override { return static_cast<unsigned>(queues_.size()) - 1; }
    void post(unsigned shard, std::function<void()> what) override {
        ++waiting_;
        queues_[shard].push_back(std::move(what));
    }
    void post_control(std::function<void()> what) override {
        ++waiting_;
        queues_.back().push_back(std::move(what));
    }

    unsigned waiting() const noexcept { return waiting_; }
    /// Runs the first one of place number `place` or of the next one that has any; says which.
    unsigned run_one(unsigned place) {
        while (queues_[place].empty()) place = (place + 1) % static_cast<unsigned>(queues_.size());
        const std::function<void()> what = std::move(queues_[place].front());
        queues_[place].pop_front();
        --waiting_;
        what();
        return place;
    }

  private:
    std::vector<std::deque<std::function<void()>>> queues_;  // The last is the control thread's.
    unsigned waiting_ = 0;
};

}  // namespace sim
