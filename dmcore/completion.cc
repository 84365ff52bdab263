// How parts of a lane end: clones into DmIos, DmIos into bios.
#include <cassert>

#include "dmcore/lane.h"
#include "dmcore/mark.h"

namespace dmcore {

[[gnu::flatten]] void Lane::clone_done(Bio& bio) noexcept {
    auto& clone = static_cast<Clone&>(bio);
    DmIo& io = *clone.io;
    Lane& lane = *io.lane;
    if (clone.target != nullptr) clone.target->end_io(clone);
    if (clone.failure.status != Status::ok) [[unlikely]]
        merge(io, clone.failure);
    if (&clone != &io.clone) {
        lane.clones_.give(clone);
        if (!lane.fan_starved_.empty()) lane.agenda_.add(lane.feed_work_);
    }
    if (--io.pending == 0) lane.complete(io);
}

/// The first error in time stands. A requeue that will be granted beats errors, one that will not
/// yields to them, whatever the order [L-35], [R-12]; a lost flush is not run again [O-3].
void Lane::merge(DmIo& io, const Failure& failure) noexcept {
    const bool lost = io.failure.sync_lost || failure.sync_lost;
    const bool requeue = failure.status == Status::requeue;
    bool wins = io.failure.status == Status::ok;
    if (!wins && requeue != (io.failure.status == Status::requeue)) {
        mark(Mark::requeue_meets_error);
        const bool recalled = io.failure.recalled || failure.recalled;
        wins = requeue == (!lost && (io.lane->noflush_ || recalled));
    }
    if (wins) io.failure = failure;
    io.failure.sync_lost = lost;
}

void Lane::complete(DmIo& io) noexcept {
    if (io.failure.status == Status::ok) [[likely]] {
        if (io.lingering != nullptr) [[unlikely]]
            flushed_lingering();
        finish(io);
    } else if (retryable(io)) {
        if (io.was_split) {
            stage_one(io);
        } else {
            stage_two(io);
        }
    } else {
        finish(io);
    }
}

/// The part's final answer.
void Lane::finish(DmIo& io) noexcept {
    if (!io.accounted && io.failure.status == Status::ok) [[unlikely]]
        account(io);  // A flush without takers, [L-24].
    if (io.accounted) end_accounting(io, true);
    if (io.failure.status != Status::ok) [[unlikely]] {
        finish_failed(io);
        return;
    }
    if (io.parked != nullptr) [[unlikely]]
        parking_.drop(io.parked, io.part_sectors());
    Bio& bio = *io.orig;
    retire(io);
    bio.end();
}

/// Of several attempts the first failure is told.
void Lane::finish_failed(DmIo& io) noexcept {
    Bio& bio = *io.orig;
    Failure failure = io.failure;
    const std::uint64_t start = io.start_sector();
    if (io.parked != nullptr && io.parked->attempts > 0) {
        failure = io.parked->first;
        failure.sync_lost |= io.failure.sync_lost;
    }
    parking_.drop(io.parked, io.part_sectors());
    retire(io);
    bio.fail(failure, start);
}

/// The DmIo is done with, whether its part has been answered or put back.
void Lane::retire(DmIo& io) noexcept {
    io.lingering.reset();
    ios_.give(io);
    --pending_;
    if (parking_.starving()) [[unlikely]]
        agenda_.add(feed_work_);
    if (pending_ == 0 && on_quiet_) [[unlikely]]
        agenda_.add(quiet_work_);
}

/// `ended`: finally. Otherwise the part will be run again, and counts then [D-3], [A-9].
void Lane::end_accounting(DmIo& io, bool ended) noexcept {
    const Time now = clock_.now();
    if (ended) count(io, now);
    --(io.orig->op == Op::read ? stats_.reads_in_flight : stats_.writes_in_flight);
    if (stats_.in_flight() == 0) stats_.busy += now - busy_since_;
    if (io.region_mark.regions_made == 0) [[likely]]
        return;
    if (ended) {
        shared_->regions.end(io.region_io(), io.region_mark, io.started_at, now);
    } else {
        shared_->regions.put_back(io.region_io(), io.region_mark, now);
    }
    io.region_mark = {};
}

void Lane::count(const DmIo& io, Time now) noexcept {
    OpStats& stats = stats_.ops[static_cast<std::size_t>(io.orig->op)];
    ++stats.ios;
    if (io.orig->op != Op::flush) stats.sectors += io.part_sectors();
    stats.time += now - io.started_at;
}

void Lane::feed_starved() noexcept {
    Queue<DmIo> fans;
    fans.append(fan_starved_);
    while (DmIo* io = fans.pop()) fan_out(*io);
    while (!ios_.exhausted()) {
        Bio* bio = parking_.take_starved();
        if (bio == nullptr) return;
        enter(*bio);
    }
}

/// Behind everything that ended in this turn, so that what was answered is on its way when the
/// device counts as suspended [D-11].
void Lane::tell_quiet() noexcept {
    if (pending_ != 0 || !on_quiet_) return;
    const auto tell = std::move(on_quiet_);
    on_quiet_ = nullptr;
    tell();
}

}  // namespace dmcore
