#include "sim/ledger.h"

#include <algorithm>

namespace sim {

using dmcore::Op;

Ledger::Ledger(const Trace& trace, Model& model, const Stacks& stacks, const Excuses& excuses)
    : trace_(trace), model_(model), stacks_(stacks), excuses_(excuses), requests_(requests_max) {
    for (unsigned i = requests_max; i-- > 0;) {
        requests_[i].number = i;
        free_.push_back(i);
    }
}

Request* Ledger::take() noexcept {
    if (free_.empty()) return nullptr;
    Request& request = requests_[free_.back()];
    free_.pop_back();
    ++request.generation;
    request.first_value = 0;
    return &request;
}

void Ledger::begin(Request& request) {
    request.state = Request::State::sent;
    request.began = trace_.now();
    if (request.first_value == 0) {
        request.first_value = next_value_;
        next_value_ += request_sectors_max;
    }
    const std::uint32_t end = request.sector + request.sectors;
    const bool settled = (unsettled_ & stacks_.below(request.device)) == 0;
    request.may_fail = !settled;
    request.must_fail = settled && request.op != Op::flush && end > stacks_.sectors(request.device);
    request.unsure = false;
    request.shallow = is_shallow(request.device);
    request.reach = stacks_.reach(request.device);
    request.done.reset();
    request.spots.clear();
    for (std::uint32_t i = 0; i < request.sectors; ++i) {
        request.spots.push_back(stacks_.spot(request.device, request.sector + i));
        if (!request.must_fail) begin_sector(request, i);
    }
    if (request.op == Op::flush) return;
    ++sums_[request.device].requests;
    sums_[request.device].sectors += request.sectors;
}

void Ledger::answered(Request& request, Outcome outcome, const std::uint64_t* values) {
    if (request.state != Request::State::sent) {
        trace_.violation("[R-1] request %u is answered that nobody waits for", request.number);
    }
    const bool good = outcome == Outcome::good;
    if (!good) {
        check_failure(request);
        sums_[request.device].clean = false;
    } else if (request.must_fail) {
        trace_.violation("[L-2] request %u past the end of d%u went well", request.number,
                         request.device);
    }
    if (good && request.op == Op::read) check_read(request, values);
    if (good && request.op == Op::flush && !stacks_.ever_lossy()) {
        // While a table changes its length nobody can say which one the flush went through; what
        // was written through the device itself it must cover all the same [O-4].
        const bool settled = !request.may_fail && (unsettled_ & stacks_.below(request.device)) == 0;
        const std::uint32_t reach = request.reach & stacks_.reach(request.device);
        model_.flushed(request.device, settled ? reach : 0, request.began);
    }
    settle_write(request, good);
    ++answers_;
    release(request);
}

void Ledger::check_read(const Request& request, const std::uint64_t* values) const {
    for (unsigned i = 0; i < request.sectors; ++i) {
        const Spot& spot = request.spots[i];
        if (spot.place == fails) {
            if (request.may_fail) continue;
            trace_.violation("sector %u of d%u was read, where its table only fails",
                             request.sector + i, request.device);
        }
        const bool legal = spot.place == reads_zeroes
                               ? values[i] == 0
                               : model_.legal(spot.place, values[i], request.began);
        if (legal) continue;
        if (spot.place <= place_max) model_.print(spot.place);
        trace_.violation(
            "[R-5], [R-6], [O-1]: request %u, sent at %u, read %#llx from sector %u of d%u",
            request.number, request.began, static_cast<unsigned long long>(values[i]),
            request.sector + i, request.device);
    }
}

void Ledger::check_failure(const Request& request) const {
    if (request.op == Op::discard) return;  // A new table may take it away, one below as well.
    const bool syncs = request.op == Op::flush || request.fua;
    bool excused = request.may_fail || request.must_fail || excuses_.io;
    excused |= syncs && excuses_.sync;
    excused |= request.op == Op::flush && stacks_.ever_failing();
    excused |= std::any_of(request.spots.begin(), request.spots.end(),
                           [](const Spot& spot) { return spot.may_fail; });
    if (excused) return;
    trace_.violation("[R-3], [R-15]: request %u (op %u, %u+%u of d%u) failed for no reason",
                     request.number, static_cast<unsigned>(request.op), request.sector,
                     request.sectors, request.device);
}

void Ledger::settle_write(const Request& request, bool good) {
    if (!is_write_like(request.op) || request.must_fail) return;
    for (const Spot& spot : request.spots) {
        if (spot.place > place_max) continue;
        const bool sure = good && !spot.lossy && !request.unsure && request.op != Op::discard;
        model_.end(spot.place, request.number, request.began, sure, request.fua);
    }
}

void Ledger::died(Request& request) {
    sums_[request.device].clean = false;
    if (!is_write_like(request.op) || request.must_fail) {
        release(request);
        return;
    }
    request.state = Request::State::zombie;
    for (const Spot& spot : request.spots) {
        if (spot.place <= place_max) model_.died(spot.place, request.number);
    }
}

void Ledger::gone(Request& request) {
    for (const Spot& spot : request.spots) {
        if (spot.place <= place_max) model_.gone(spot.place, request.number);
    }
    release(request);
}

void Ledger::forget_all() {
    for (Request& request : requests_) {
        if (request.state != Request::State::unused) died(request);
        if (request.state == Request::State::zombie) gone(request);
    }
}

void Ledger::release(Request& request) {
    request.state = Request::State::unused;
    free_.push_back(request.number);
    if (answers_ % 32 != 0) return;  // Often enough for the model to stay small.
    Moment oldest = trace_.now();
    for (const Request& each : requests_) {
        if (each.state != Request::State::unused) oldest = std::min(oldest, each.began);
    }
    model_.set_oldest(oldest);
}

void Ledger::unsettle(unsigned device) {
    unsettled_ |= 1U << device;
    excuse(device);
}

void Ledger::excuse(unsigned device) {
    for (Request& request : requests_) {
        if (request.state == Request::State::unused) continue;
        if ((stacks_.below(request.device) >> device & 1) == 0) continue;
        request.may_fail = true;
        if (!request.must_fail) continue;
        request.must_fail = false;
        for (std::uint32_t i = 0; i < request.sectors; ++i) begin_sector(request, i);
    }
}

void Ledger::begin_sector(const Request& request, std::uint32_t index) {
    const Place place = request.spots[index].place;
    if (!is_write_like(request.op) || place > place_max) return;
    model_.begin(place, request.value(index), request.number, index,
                 {request.device, request.sector + index});
}

/// Stores alone are below it: no part of a part can be run again with its sibling.
bool Ledger::is_shallow(unsigned device) const noexcept {
    return stacks_.below(device) == 1U << device;
}

void Ledger::tables_changed() {
    for (Request& request : requests_) {
        if (request.state == Request::State::unused) continue;
        request.shallow &= is_shallow(request.device);
        if (request.must_fail) continue;
        for (std::uint32_t i = 0; i < request.sectors; ++i) {
            const Spot now = stacks_.spot(request.device, request.sector + i);
            if (request.spots[i].place <= place_max || now.place > place_max) continue;
            request.spots[i] = now;
            request.may_fail = true;
            begin_sector(request, i);
        }
    }
}

void Ledger::doubt(unsigned disk) {
    for (Request& request : requests_) {
        if (request.state == Request::State::unused) continue;
        request.unsure |=
            std::any_of(request.spots.begin(), request.spots.end(), [&](const Spot& spot) {
                return spot.place <= place_max && model_.disk_of(spot.place) == disk;
            });
    }
}

bool Ledger::used(unsigned device) const noexcept {
    return std::any_of(requests_.begin(), requests_.end(), [&](const Request& request) {
        return request.state != Request::State::unused &&
               (stacks_.below(request.device) >> device & 1) != 0;
    });
}

}  // namespace sim
