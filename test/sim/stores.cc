#include "sim/stores.h"

#include <cstring>

#include "dmcore/lane.h"
#include "dmcore/loan.h"

namespace sim {

using dmcore::Bio;
using dmcore::Failure;
using dmcore::Lane;
using dmcore::Op;
using dmcore::sector_bytes;
using dmcore::Status;

namespace {

/// A part whose first failure was a lost flush must not be run again.
bool repeats_lost_flush(const Bio& bio) noexcept {
    for (const Bio* each = &bio; each != nullptr; each = Lane::above(*each)) {
        const dmcore::DmIo* part = Lane::part_of(*each);
        if (part == nullptr || part->parked == nullptr) continue;
        if (part->parked->first.sync_lost) return true;
    }
    return false;
}

}  // namespace

std::uint64_t stamp_of(const Trace& trace, const std::byte* sector) {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::memcpy(&first, sector, sizeof first);
    std::memcpy(&last, sector + sector_bytes - sizeof last, sizeof last);
    if (first != last)
        trace.violation("[O-8] half a sector: %#llx and %#llx",
                        static_cast<unsigned long long>(first),
                        static_cast<unsigned long long>(last));
    return first;
}

void stamp(std::byte* sector, std::uint64_t value) noexcept {
    std::memset(sector, 0, sector_bytes);  // Whether a sector is zero is told to clients.
    std::memcpy(sector, &value, sizeof value);
    std::memcpy(sector + sector_bytes - sizeof value, &value, sizeof value);
}

Stores::Stores(dmcore::Random& random, Trace& trace, Model& model, Ledger& ledger, const Ills& ills)
    : random_(random), trace_(trace), model_(model), ledger_(ledger), ills_(ills) {}

void Stores::add(std::uint32_t sectors) {
    disks_.push_back(std::make_unique<Disk>(count(), sectors, random_, *this));
}

/// The client's request that this I/O is for; null: it has been forgotten since.
Request* Stores::request_of(const Bio& bio) const noexcept {
    const Bio* top = &bio;
    while (const Bio* above = Lane::above(*top)) top = above;
    const Tag tag = tag_of(*top);
    Request& request = ledger_.request(tag.number);
    return request.generation == tag.generation && request.state != Request::State::unused
               ? &request
               : nullptr;
}

void Stores::reached(Disk& disk, Bio& bio) noexcept {
    ++ios_;
    trace_.note(What::submit, disk.number(), static_cast<std::uint64_t>(bio.op),
                bio.iter.sector << 16 | bio.iter.sectors());
    check_issue(bio, request_of(bio));
    const Pending pending{&disk, &bio, disk.writes()};
    if (chance(ills_.inlines)) {
        finish(pending);
    } else {
        pending_.push_back(pending);
    }
}

void Stores::check_issue(const Bio& bio, const Request* request) const {
    if (crashed_ || (bio.origin != nullptr && bio.origin->dead)) {
        trace_.violation("[O-2] an I/O of a dead connection is issued");
    }
    if (request == nullptr) trace_.violation("[R-4] an I/O is issued for a request that is over");
    if (request->must_fail) trace_.violation("[L-2] an I/O is issued past the end of its device");
    if (repeats_lost_flush(bio)) trace_.violation("[O-3] a flush that a store lost is repeated");
}

void Stores::finish_one() {
    const std::size_t pick = random_.below(pending_.size());
    const Pending pending = pending_[pick];
    pending_[pick] = pending_.back();
    pending_.pop_back();
    finish(pending);
}

void Stores::finish(const Pending& pending) {
    Bio& bio = *pending.bio;
    Failure why;
    const bool bad = fails(pending, why);
    trace_.note(What::end, pending.disk->number(), static_cast<std::uint64_t>(why.status),
                bio.iter.sector << 16 | bio.iter.sectors());
    if (!bad) {
        apply(pending);
        bio.end();
        return;
    }
    if (why.status != Status::requeue && !crashed_) tear(pending);
    why.where = "disk";
    why.sector = bio.iter.sector;
    bio.fail(why, bio.iter.sector);
}

bool Stores::fails(const Pending& pending, Failure& why) {
    const Bio& bio = *pending.bio;
    if (crashed_) {
        why.status = Status::shutdown;
    } else if (pending.disk->down) {
        why.status = Status::disconnected;
    } else if (Lane::wanted_back(bio) && random_.below(4) == 0) {
        why = {.status = Status::requeue, .recalled = true};  // As BlockDevice::recall() asks.
    } else if (sync_fails(pending, why) || good_ || spared(bio)) {
        // Only what its past demands.
    } else if (chance(ills_.requeues)) {
        why.status = Status::requeue;
    } else if (chance(ills_.transients)) {
        why.status = random_.below(2) == 0 ? Status::again : Status::no_memory;
    } else if (chance(ills_.errors)) {
        why.status = random_.below(4) == 0 ? Status::no_space : Status::io_error;
    }
    return why.status != Status::ok;
}

/// A flush of a tall stack is hundreds of clones, and all are run again if one has to be.
bool Stores::spared(const Bio& bio) {
    return bio.op == Op::flush && random_.below(64) != 0;
}

bool Stores::sync_fails(const Pending& pending, Failure& why) {
    Disk& disk = *pending.disk;
    const Bio& bio = *pending.bio;
    if (bio.op != Op::flush && !bio.fua) return false;
    if (!good_ && chance(ills_.sync_errors)) disk.sync_failed = true;
    if (!disk.sync_failed && !disk.fail_one_flush) return false;
    disk.fail_one_flush = false;
    why.status = Status::io_error;
    why.sync_lost = true;
    return true;
}

void Stores::apply(const Pending& pending) {
    const Bio& bio = *pending.bio;
    switch (bio.op) {
        case Op::read: return read(pending);
        case Op::flush: return pending.disk->flush(pending.covers);
        default: return write(pending, true);
    }
}

/// An I/O that failed may have been done in part, or wholly.
void Stores::tear(const Pending& pending) {
    if (is_write_like(pending.bio->op)) {
        write(pending, false);
    } else if (pending.bio->op == Op::read) {
        lend_rubbish(*pending.bio);
    }
}

/// What a read was lent before it failed, nobody may ever see.
void Stores::lend_rubbish(const Bio& bio) {
    if (bio.loans == nullptr || random_.below(2) == 0) return;
    for_each_piece(bio.iter, bio.segments, [&](std::byte* data, std::size_t bytes) {
        dmcore::SharedBytes* rubbish = dmcore::SharedBytes::make();
        bio.loans->add(data, rubbish->data(), bytes, *rubbish);
        rubbish->drop();
    });
}

void Stores::read(const Pending& pending) {
    const Bio& bio = *pending.bio;
    auto sector = static_cast<std::uint32_t>(bio.iter.sector);
    for_each_piece(bio.iter, bio.segments, [&](std::byte* data, std::size_t bytes) {
        const bool lends = bio.loans != nullptr && random_.below(8) == 0;
        dmcore::SharedBytes* shared = lends ? dmcore::SharedBytes::make() : nullptr;
        std::byte* const to = lends ? shared->data() : data;
        for (std::size_t at = 0; at < bytes; at += sector_bytes) {
            stamp(to + at, pending.disk->value(sector++));
        }
        if (!lends) return;
        if (!bio.loans->add(data, to, bytes, *shared)) std::memcpy(data, to, bytes);
        shared->drop();
    });
}

void Stores::write(const Pending& pending, bool whole) {
    const Bio& bio = *pending.bio;
    const Request* request = request_of(bio);
    if (request == nullptr) trace_.violation("[R-2] a write was answered before it had ended");
    auto sector = static_cast<std::uint32_t>(bio.iter.sector);
    if (!has_data(bio.op)) {
        const bool some = !whole || bio.op == Op::discard;  // A discard may be ignored.
        for (const std::uint64_t end = bio.iter.end(); sector < end; ++sector) {
            if (!some || random_.below(2) == 0) write_sector(pending, *request, sector, 0, whole);
        }
        return;
    }
    for_each_piece(bio.iter, bio.segments, [&](std::byte* data, std::size_t bytes) {
        for (std::size_t at = 0; at < bytes; at += sector_bytes, ++sector) {
            if (!whole && random_.below(2) == 0) continue;
            write_sector(pending, *request, sector, stamp_of(trace_, data + at), whole);
        }
    });
}

/// The bytes must be those of the client's buffer that belong here, and of a device right
/// under the client no sector may be written again that was written well.
void Stores::write_sector(const Pending& pending, const Request& request, std::uint32_t sector,
                          std::uint64_t value, bool whole) {
    const Place at = place(*pending.disk, sector);
    bool right = false;
    unsigned index = 0;
    model_.for_each_index(at, request.number, [&](unsigned each) {
        if (request.value(each) != value) return;
        right = true;
        index = each;
    });
    if (!right) {
        model_.print(at);
        trace_.violation(
            "[R-5], [R-6] request %u (op %u, %u+%u of d%u) writes %#llx to sector %u of "
            "disk %u",
            request.number, static_cast<unsigned>(request.op), request.sector, request.sectors,
            request.device, static_cast<unsigned long long>(value), sector, pending.disk->number());
    }
    const bool alone = request.shallow && has_data(request.op);
    if (alone && request.done[index]) {
        trace_.violation("[R-4] sector %u of request %u is written again after it went well", index,
                         request.number);
    }
    if (alone && whole) ledger_.request(request.number).done.set(index);
    const bool durable =
        pending.bio->fua && pending.bio->failure.status == Status::ok && !pending.disk->sync_failed;
    pending.disk->write(sector, value, durable);
}

void Stores::take_down(Disk& disk) {
    trace_.note(What::forget, disk.number());
    disk.down = true;
    for (std::size_t i = 0; i < pending_.size();) {
        if (pending_[i].disk != &disk) {
            ++i;
            continue;
        }
        const Pending pending = pending_[i];
        pending_[i] = pending_.back();
        pending_.pop_back();
        finish(pending);
    }
    forget(disk);
}

void Stores::bring_up(Disk& disk) {
    disk.down = false;
}

/// Checks every rest that could be left, and keeps one.
void Stores::forget(Disk& disk) {
    if (!disk.has_unflushed()) return;
    check_promises(disk);
    const std::vector<std::uint32_t> touched = disk.unflushed();
    ledger_.doubt(disk.number());
    disk.fail_one_flush = true;
    disk.crash(random_);
    for (const std::uint32_t sector : touched) model_.pin(place(disk, sector), disk.value(sector));
}

void Stores::check_promises() const {
    for (const auto& disk : disks_) check_promises(*disk);
}

void Stores::check_promises(const Disk& disk) const {
    for (const std::uint32_t sector : disk.unflushed()) {
        disk.each_after_crash(sector, [&](std::uint64_t value) {
            const Place at = place(disk, sector);
            if (model_.survives(at, value)) return;
            model_.print(at);
            trace_.violation("[O-4], [O-5] a crash could bring back %#llx in sector %u of disk %u",
                             static_cast<unsigned long long>(value), sector, disk.number());
        });
    }
}

void Stores::crash() {
    trace_.note(What::crash);
    for (const Pending& pending : pending_) tear(pending);
    check_promises();
    for (const auto& disk : disks_) {
        disk->crash(random_);
        disk->fail_one_flush = false;
        disk->down = false;
    }
    crashed_ = true;
    ledger_.forget_all();
    for (const auto& disk : disks_) {
        for (std::uint32_t i = 0; i < disk->sectors(); ++i) {
            model_.pin(place(*disk, i), disk->value(i));
        }
    }
}

}  // namespace sim
