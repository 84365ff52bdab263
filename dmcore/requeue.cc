// Two-stage requeue: how a part is run again before its submitter hears of it. Follows the kernel
// commit "dm: add two stage requeue mechanism": splitting costs nothing, the rare requeue pays with
// a clone that is rewound from the bio's fixed end and trimmed to the part.
#include <algorithm>
#include <cmath>

#include "dmcore/lane.h"
#include "dmcore/loan.h"
#include "dmcore/mark.h"

namespace dmcore {
namespace {

/// Answers the part's share of the bio it was split from.
void requeued_done(Bio& bio) noexcept {
    auto& requeued = static_cast<Requeued&>(bio);
    Bio& parent = *requeued.parent;
    const Failure failure = requeued.failure;
    const std::uint64_t at = requeued.failed_at;
    requeued.pool->give(requeued);
    if (failure.status == Status::ok) {
        parent.end();
    } else {
        parent.fail(failure, at);
    }
}

/// A bio for just this part, over the same bytes, [R-6].
void make_part(Requeued& part, DmIo& io) noexcept {
    const Bio& bio = *io.orig;
    part.op = bio.op;
    part.fua = bio.fua;
    part.no_unmap = bio.no_unmap;
    part.remaining = 1;
    part.segments = bio.segments;
    part.loans = bio.loans;
    part.failure = {};
    part.done = requeued_done;
    part.agenda = bio.agenda;
    part.origin = bio.origin;
    part.parked = nullptr;
    part.parent = io.orig;
    part.iter = bio.iter;
    rewind(part.iter, part.segments, has_data(part.op),
           io.sector_offset * sector_bytes - bio.iter.bytes);
    part.iter.bytes = io.sectors * sector_bytes;
}

/// A store bounds the wait for its remote itself, and then fails with another status: the deadline
/// of the policy runs from when the remote is there again.
bool waits_for_remote(const DmIo& io) noexcept {
    return io.failure.status == Status::disconnected;
}

Time delay_before(const RetryPolicy& policy, std::uint32_t attempt) noexcept {
    if (attempt <= 1 || policy.delay == Time{}) return Time{};
    const double factor = std::pow(policy.backoff, attempt - 2);
    const double wanted = static_cast<double>(policy.delay.count()) * factor;
    const double capped = std::min(wanted, static_cast<double>(policy.max_delay.count()));
    return Time(static_cast<Time::rep>(capped));
}

}  // namespace

/// Could this failure lead to another run? Stage two decides whether it does.
bool Lane::retryable(const DmIo& io) const noexcept {
    if (io.failure.status == Status::requeue) return true;
    if (!options_.retry.errors.has(io.failure.status)) return false;
    if (io.failure.sync_lost) mark(Mark::lost_flush_kept_failed);  // [O-3]
    return !io.failure.sync_lost;
}

/// Sets the part aside: its bio has gone on, so it needs one of its own. Nobody is told.
void Lane::stage_one(DmIo& io) noexcept {
    ++stats_.stage_one;
    mark(requeue_list_.empty() ? Mark::part_requeued : Mark::batch_requeued);
    if (io.orig->done == requeued_done) mark(Mark::part_of_part_requeued);
    requeue_list_.push_front(io);
    agenda_.add(requeue_work_);
}

/// Works off the list from its head and puts each part at the head of the deferred list, so that
/// the parts of one batch come out in the order in which they were requeued (dm-semantics 3.5).
void Lane::requeue_worker() noexcept {
    while (DmIo* io = requeue_list_.pop()) {
        Requeued& part = *requeued_.take();
        part.pool = &requeued_;
        make_part(part, *io);
        io->orig = &part;
        io->was_split = false;
        stage_two(*io);
    }
}

void Lane::stage_two(DmIo& io) noexcept {
    const Origin* origin = io.orig->origin;
    if (origin != nullptr && origin->dead) {
        mark(Mark::dead_between_stages);
        io.failure = {.status = Status::shutdown};
        finish(io);
        return;
    }
    if (io.failure.status == Status::requeue && (noflush_ || io.failure.recalled)) {
        parking_.defer(put_back(io), true);
        return;
    }
    if (io.failure.status == Status::requeue) {
        mark(Mark::requeue_refused);
        io.failure.status = Status::io_error;
    }
    if (!grant_retry(io)) {
        finish(io);
        return;
    }
    const std::uint32_t attempt = io.parked->attempts;
    const bool patient = waits_for_remote(io);
    const Time deadline = io.parked->first_at + options_.retry.deadline;
    Bio& bio = put_back(io);
    if (attempt <= 1 || parking_.gate_closed()) {
        parking_.defer(bio, true);
        return;
    }
    mark(Mark::retry_waits);
    const Time wait = delay_before(options_.retry, attempt);
    const Time left = patient ? wait : deadline - parking_.open_time();
    parking_.retry_at(bio, clock_.now() + std::min(wait, left));
}

/// Does the policy allow one more attempt? If so it is noted as used.
bool Lane::grant_retry(DmIo& io) noexcept {
    if (!retryable(io)) return false;
    const RetryPolicy& policy = options_.retry;
    const Time now = parking_.open_time();
    const bool first = io.parked == nullptr || io.parked->attempts == 0;
    const bool spent =
        first ? policy.attempts == 0
              : io.parked->attempts >= policy.attempts ||
                    (now - io.parked->first_at >= policy.deadline && !waits_for_remote(io));
    if (spent) {
        if (!first) {
            mark(Mark::retry_spent);
            ++stats_.retries_exhausted;
        }
        return false;
    }
    Parked& parked = parking_.own(io.parked);
    if (first) parked.first = io.failure;
    if (first || waits_for_remote(io)) parked.first_at = now;
    ++parked.attempts;
    return true;
}

/// Ends the pass without an answer: the part's bio, now untouched by anybody, is to be run again.
Bio& Lane::put_back(DmIo& io) noexcept {
    ++stats_.stage_two;
    if (io.accounted) end_accounting(io, false);
    Bio& bio = *io.orig;
    if (bio.loans != nullptr) bio.loans->give_back(bio.iter, bio.segments);
    bio.parked = &parking_.own(io.parked);
    bio.parked->issued = true;
    retire(io);
    return bio;
}

const DmIo* Lane::part_of(const Bio& bio) noexcept {
    return bio.done == &Lane::clone_done ? static_cast<const Clone&>(bio).io : nullptr;
}

const Bio* Lane::above(const Bio& bio) noexcept {
    if (bio.done == requeued_done) return static_cast<const Requeued&>(bio).parent;
    const DmIo* part = part_of(bio);
    return part == nullptr ? nullptr : part->orig;
}

bool Lane::wanted_back(const Bio& bio) noexcept {
    for (const Bio* each = &bio; each != nullptr; each = above(*each)) {
        const DmIo* part = part_of(*each);
        if (part != nullptr && part->lane->noflush_) return true;
    }
    return false;
}

void Lane::recall() noexcept {
    parking_.give_back();
    recall_below();
}

void Lane::recall_below() noexcept {
    if (table_ != nullptr) {
        for (const Lower& below : table_->lowers()) below.device->recall();
    }
}

}  // namespace dmcore
