#include "dmcore/parking.h"

#include <vector>

#include "dmcore/lane.h"
#include "dmcore/mark.h"

namespace dmcore {
namespace {

constexpr Failure recalled{.status = Status::requeue, .recalled = true};

}  // namespace

Parking::Parking(Lane& lane, DeviceShared& shared, unsigned lane_index, Agenda& agenda,
                 Clock& clock)
    : lane_(lane),
      shared_(shared),
      lane_index_(lane_index),
      agenda_(agenda),
      clock_(clock),
      deferred_work_([](void* self) noexcept { static_cast<Parking*>(self)->issue_deferred(); },
                     this),
      held_work_(
          [](void* self) noexcept {
              auto& parking = *static_cast<Parking*>(self);
              parking.issue(parking.held_);
          },
          this),
      timer_([](void* self) noexcept { static_cast<Parking*>(self)->issue_due(); }, this) {}

Parking::~Parking() {
    clock_.disarm(timer_);
}

/// False: a device above took the bio back, so it must not wait here.
bool Parking::park(Bio& bio) noexcept {
    if (Lane::wanted_back(bio)) {
        mark(Mark::taken_back_at_once);
        fail(bio, recalled);
        return false;
    }
    ++waiting_;
    if (has_data(bio.op)) bytes_ += bio.iter.bytes;
    if (is_write_like(bio.op)) {
        const bool fresh = bio.parked == nullptr || !bio.parked->issued;
        ensure_hold(bio.parked, bio.iter.sector, bio.iter.sectors(), fresh);
    }
    return true;
}

void Parking::unpark(const Bio& bio) noexcept {
    --waiting_;
    if (has_data(bio.op)) bytes_ -= bio.iter.bytes;
}

void Parking::ensure_hold(Parked*& parked, std::uint64_t start_sector, std::uint64_t sectors,
                          bool fresh) noexcept {
    if (parked != nullptr && parked->hold != nullptr) return;
    own(parked).hold = shared_.holds.publish(start_sector, sectors, fresh);
}

Parked& Parking::own(Parked*& parked) noexcept {
    if (parked != nullptr && parked->references == 1) return *parked;
    Parked* fresh = records_.take();
    if (parked == nullptr) {
        *fresh = Parked{};
    } else {
        mark(Mark::record_copied);
        *fresh = *parked;
        fresh->references = 1;
        --parked->references;
    }
    parked = fresh;
    return *fresh;
}

void Parking::drop(Parked* parked, std::uint64_t sectors) noexcept {
    if (parked == nullptr) return;
    if (parked->hold != nullptr) lane_.release(*parked->hold, sectors);
    if (--parked->references == 0) records_.give(*parked);
}

void Parking::fail(Bio& bio, const Failure& why) noexcept {
    Parked* parked = bio.parked;
    bio.parked = nullptr;
    const std::uint64_t at = bio.iter.sector;
    drop(parked, bio.iter.sectors());
    bio.fail(why, at);
}

void Parking::defer(Bio& bio, bool at_head) noexcept {
    if (!park(bio)) return;
    if (at_head) {
        deferred_.push_front(bio);
    } else {
        deferred_.push_back(bio);
    }
    if (!gate_closed_) agenda_.add(deferred_work_);
}

void Parking::retry_at(Bio& bio, Time due) noexcept {
    if (!park(bio)) return;
    retry_.emplace(due, &bio);
    arm();
}

void Parking::starve(Bio& bio) noexcept {
    mark(Mark::bio_starves);
    if (park(bio)) starved_.push_back(bio);
}

Bio* Parking::take_starved() noexcept {
    Bio* bio = starved_.pop();
    if (bio != nullptr) unpark(*bio);
    return bio;
}

void Parking::arm() noexcept {
    if (retry_.empty()) {
        clock_.disarm(timer_);
    } else {
        clock_.arm(timer_, retry_.begin()->first);
    }
}

bool Parking::waits_behind_hold(Bio& bio) noexcept {
    const Hold* own_hold = bio.parked == nullptr ? nullptr : bio.parked->hold;
    if (!shared_.holds.blocked(bio.iter.sector, bio.iter.end(), own_hold, lane_index_))
        return false;
    mark(Mark::waits_behind_hold);
    if (park(bio)) held_.push_back(bio);
    return true;
}

void Parking::close_gate() noexcept {
    if (gate_closed_) return;
    gate_closed_ = true;
    closed_at_ = clock_.now();
}

void Parking::open_gate() noexcept {
    if (!gate_closed_) return;
    gate_closed_ = false;
    closed_total_ += clock_.now() - closed_at_;
    agenda_.add(deferred_work_);
}

Time Parking::open_time() const noexcept {
    return (gate_closed_ ? closed_at_ : clock_.now()) - closed_total_;
}

/// Takes only what is there now: a bio that has to wait once more is for another run of the work.
void Parking::issue(Queue<Bio>& waiting) noexcept {
    Queue<Bio> ready;
    ready.append(waiting);
    while (Bio* bio = ready.pop()) {
        unpark(*bio);
        lane_.submit(*bio);
    }
}

void Parking::issue_deferred() noexcept {
    if (!gate_closed_) issue(deferred_);
}

void Parking::issue_due() noexcept {
    const Time now = clock_.now();
    while (!retry_.empty() && retry_.begin()->first <= now) {
        Bio* bio = retry_.begin()->second;
        retry_.erase(retry_.begin());
        unpark(*bio);
        lane_.submit(*bio);
    }
    arm();
}

template <class Wanted>
void Parking::end_all(const Failure& why, Wanted&& wanted) noexcept {
    Queue<Bio> ending;
    for (Queue<Bio>* waiting : {&deferred_, &held_, &starved_}) waiting->take_if(ending, wanted);
    for (auto each = retry_.begin(); each != retry_.end();) {
        Bio& bio = *each->second;
        if (wanted(bio)) {
            ending.push_back(bio);
            each = retry_.erase(each);
        } else {
            ++each;
        }
    }
    arm();
    while (Bio* bio = ending.pop()) {
        mark(why.status == Status::shutdown ? Mark::dead_while_parked : Mark::taken_back_later);
        unpark(*bio);
        fail(*bio, why);
    }
}

void Parking::abandon(const Origin& origin) noexcept {
    end_all({.status = Status::shutdown}, [&](const Bio& bio) { return bio.origin == &origin; });
}

void Parking::give_back() noexcept {
    end_all(recalled, Lane::wanted_back);
}

}  // namespace dmcore
