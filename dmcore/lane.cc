#include "dmcore/lane.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "dmcore/mark.h"

namespace dmcore {
namespace {

/// The zeroes that a write_zeroes becomes where a target has none of its own [D-14].
std::byte zero_block[limits::zero_block_bytes];
constexpr std::size_t zero_part_bytes = limits::zero_blocks * limits::zero_block_bytes;

const Segment* zero_segments() noexcept {
    static const auto segments = [] {
        std::array<Segment, limits::zero_blocks> all;
        all.fill({zero_block, sizeof zero_block});
        return all;
    }();
    return segments.data();
}

std::uint32_t clone_count(Op op, const Traits& traits) noexcept {
    switch (op) {
        case Op::flush: return traits.flush_clones;
        case Op::discard: return traits.discard_clones;
        case Op::write_zeroes: return traits.write_zeroes_clones;
        default: return 1;
    }
}

/// The target sees it as bytes: a read, a write, or zeroes that are written.
bool moves_data(Op op, const Traits& traits) noexcept {
    return has_data(op) || (op == Op::write_zeroes && traits.write_zeroes_clones == 0);
}

}  // namespace

Lane::Lane(std::shared_ptr<DeviceShared> shared, unsigned index, Agenda& agenda, Clock& clock,
           DeviceOptions options)
    : shared_(std::move(shared)),
      index_(index),
      agenda_(agenda),
      clock_(clock),
      options_(options),
      ios_(options.parts_max),
      clones_(options.clones_max),
      parking_(*this, *shared_, index, agenda, clock),
      requeue_work_([](void* self) noexcept { static_cast<Lane*>(self)->requeue_worker(); }, this),
      feed_work_([](void* self) noexcept { static_cast<Lane*>(self)->feed_starved(); }, this),
      quiet_work_([](void* self) noexcept { static_cast<Lane*>(self)->tell_quiet(); }, this) {
    shared_->lanes[index_] = this;
}

Lane::~Lane() {
    assert(idle() && !requeue_work_.queued && !feed_work_.queued && !quiet_work_.queued);
    shared_->lanes[index_] = nullptr;
}

/// Flattened, as clone_done() is: of a bio's way down and up a quarter was calling functions.
[[gnu::flatten]] void Lane::submit(Bio& bio) noexcept {
    if (parking_.starving()) [[unlikely]] {
        parking_.starve(bio);
    } else {
        enter(bio);
    }
}

/// Through the gate, then pass by pass. Ends and re-issues come by the agenda, so nothing here is
/// entered twice.
void Lane::enter(Bio& bio) noexcept {
    if (parking_.gate_closed() && table_ != nullptr) [[unlikely]] {  // [L-7], [L-10]
        parking_.defer(bio, false);
        return;
    }
    if (!admit(bio)) return;
    while (pass(bio)) {
    }
}

/// May any of it be issued now? If not it has ended, or waits.
bool Lane::admit(Bio& bio) noexcept {
    if (bio.origin != nullptr && bio.origin->dead) [[unlikely]] {
        parking_.fail(bio, {.status = Status::shutdown});
        return false;
    }
    const std::uint64_t size = limits_.size_sectors;
    const bool fits = bio.op == Op::flush ||
                      (bio.iter.sector < size && bio.iter.sectors() <= size - bio.iter.sector);
    if (table_ == nullptr || !fits) [[unlikely]] {  // [L-2], [L-7], [L-19], [R-20]
        parking_.fail(bio, {.status = Status::io_error});
        return false;
    }
    if (bio.op == Op::discard && !limits_.discard) [[unlikely]] {  // [L-4]
        parking_.fail(bio, {.status = Status::not_supported});
        return false;
    }
    if (bio.op == Op::flush && !limits_.write_cache) [[unlikely]] {
        parking_.drop(bio.parked, 0);
        bio.parked = nullptr;
        bio.end();  // Nothing below has anything to flush [L-3].
        return false;
    }
    if (shared_->holds.any() && is_write_like(bio.op)) [[unlikely]] {
        return !parking_.waits_behind_hold(bio);
    }
    return true;
}

/// One pass over the front of the bio. True: something is left of it, to go on with.
bool Lane::pass(Bio& bio) noexcept {
    DmIo* io = begin(bio);
    if (io == nullptr) [[unlikely]] {
        parking_.starve(bio);
        return false;
    }
    if (bio.op == Op::flush) {
        io->lingering = lingering_;
        carve(*io, bio.iter.bytes);
        fan_out(*io);
        return false;
    }
    Table::Row& row = *table_->find(bio.iter.sector);
    const std::uint64_t sectors = part_sectors(bio, row);
    if (moves_data(bio.op, row.target->traits())) [[likely]]
        return map_data(*io, row, sectors);
    const bool more = carve(*io, sectors * sector_bytes);
    io->row = static_cast<std::uint32_t>(&row - table_->rows().data());
    fan_out(*io);
    return more;
}

DmIo* Lane::begin(Bio& bio) noexcept {
    DmIo* io = ios_.take();
    if (io == nullptr) return nullptr;
    io->lane = this;
    io->orig = &bio;
    io->started_at = clock_.now();
    io->pending = 0;
    io->row = io->number = 0;
    io->was_split = io->accounted = io->clone_used = false;
    io->parked = bio.parked;
    io->failure = {};
    ++pending_;
    if (io->parked != nullptr && io->parked->issued) ++stats_.retried;
    if (!has_data(bio.op)) ++io->pending;  // Held while clones are being issued.
    return io;
}

/// dm-semantics 1.4.
std::uint64_t Lane::part_sectors(const Bio& bio, const Table::Row& row) const noexcept {
    const std::uint64_t offset = bio.iter.sector - row.start_sector;
    std::uint64_t sectors = std::min(row.sectors - offset, bio.iter.sectors());
    const Traits& traits = row.target->traits();
    if (!moves_data(bio.op, traits)) return sectors;
    if (traits.max_io_sectors != 0) {
        sectors = std::min(sectors, traits.max_io_sectors - offset % traits.max_io_sectors);
    }
    if (!has_data(bio.op)) {
        sectors = std::min<std::uint64_t>(sectors, zero_part_bytes / sector_bytes);
    }
    return sectors;
}

/// Takes the part off the front of its bio. True: the bio goes on behind it, so the DmIo notes
/// where the part lies, counted from the end, which never moves. This, one count and the trim are
/// all that a split costs.
bool Lane::carve(DmIo& io, std::uint64_t bytes) noexcept {
    Bio& bio = *io.orig;
    if (bytes == bio.iter.bytes) {
        bio.parked = nullptr;  // The part has it now.
        return false;
    }
    io.was_split = true;
    io.sectors = bytes / sector_bytes;
    io.sector_offset = bio.iter.sectors();
    ++bio.remaining;
    Parking::share(io.parked);
    ++stats_.splits;
    advance(bio.iter, bio.segments, has_data(bio.op), bytes);
    return true;
}

bool Lane::map_data(DmIo& io, Table::Row& row, std::uint64_t sectors) noexcept {
    Bio& bio = *io.orig;
    Clone& clone = *take_clone(io, bio.iter.sector - row.start_sector, sectors);
    if (!has_data(bio.op)) {
        clone.op = Op::write;
        clone.segments = zero_segments();
    }
    const Mapped mapped = row.target->map(clone);
    const bool more = carve(io, clone.iter.bytes);  // It may have taken less [L-17].
    if (!has_data(bio.op)) --io.pending;
    dispatch(io, clone, row, mapped);
    return more;
}

/// Issues the clones of a flush, discard or write_zeroes, from where the DmIo stands. Without a
/// clone to be had it goes on when one comes back, unless its submitter has died by then [O-2].
/// Kept out of what is flattened: it is rare, and would make the way of a read or write longer.
[[gnu::noinline]] void Lane::fan_out(DmIo& io) noexcept {
    const Bio& bio = *io.orig;
    if (bio.origin != nullptr && bio.origin->dead) {
        mark(Mark::dead_in_fan_out);
        merge(io, {.status = Status::shutdown});
    } else if (!(bio.op == Op::flush ? fan_out_flush(io) : fan_out_row(io))) {
        if (is_write_like(bio.op)) {
            parking_.ensure_hold(io.parked, io.start_sector(), io.part_sectors(), false);
        }
        mark(Mark::fan_out_starves);
        fan_starved_.push_back(io);
        return;
    }
    if (--io.pending == 0) complete(io);
}

bool Lane::fan_out_row(DmIo& io) noexcept {
    Table::Row& row = table_->rows()[io.row];
    const std::uint32_t count = clone_count(io.orig->op, row.target->traits());
    assert(count > 0 || io.orig->op == Op::flush);  // admit() and pass() saw to it [L-4], [D-14].
    const std::uint64_t sector =
        io.start_sector() - (io.orig->op == Op::flush ? 0 : row.start_sector);
    for (; io.number < count; ++io.number) {
        Clone* clone = take_clone(io, sector, io.part_sectors());
        if (clone == nullptr) return false;
        dispatch(io, *clone, row, row.target->map(*clone));
    }
    return true;
}

/// [L-22], [L-23], and then the stores of earlier tables [O-4]; only those if it settles.
bool Lane::fan_out_flush(DmIo& io) noexcept {
    const bool bypass = table_->flush_bypass();
    const std::size_t own = bypass ? table_->lowers().size() : table_->rows().size();
    if (io.orig->done == settled) io.row = std::max(io.row, static_cast<std::uint32_t>(own));
    for (; io.row < own; ++io.row, io.number = 0) {
        if (!bypass) {
            if (!fan_out_row(io)) return false;
            continue;
        }
        Clone* clone = take_clone(io, io.start_sector(), io.part_sectors());
        if (clone == nullptr) return false;
        clone->lower = &table_->lowers()[io.row];
        send(io, *clone);
    }
    const std::size_t all = own + (io.lingering == nullptr ? 0 : io.lingering->size());
    for (; io.row < all; ++io.row) {
        Clone* clone = take_clone(io, io.start_sector(), io.part_sectors());
        if (clone == nullptr) return false;
        clone->lower = &(*io.lingering)[io.row - own].lower;
        send(io, *clone);
    }
    return true;
}

/// A clone over this range, which is the part's as a target or a device below counts; null when
/// none is free. The range is not copied from the bio, which the level above has just written:
/// reading it back in wider pieces than it was written in stalls the processor.
Clone* Lane::take_clone(DmIo& io, std::uint64_t sector, std::uint64_t sectors) noexcept {
    Clone* clone = io.clone_used ? clones_.take() : &io.clone;
    if (clone == nullptr) return nullptr;
    io.clone_used = true;
    ++io.pending;
    const Bio& bio = *io.orig;
    clone->op = bio.op;
    clone->fua = bio.fua;
    clone->no_unmap = bio.no_unmap;
    clone->remaining = 1;
    clone->iter = {.sector = sector,
                   .bytes = sectors * sector_bytes,
                   .segment = bio.iter.segment,
                   .done = bio.iter.done};
    clone->segments = bio.segments;
    clone->loans = bio.loans;
    clone->failure = {};
    clone->done = &Lane::clone_done;
    clone->agenda = &agenda_;
    clone->origin = bio.origin;
    clone->parked = nullptr;
    clone->io = &io;
    clone->target = nullptr;
    clone->number = io.number;
    return clone;
}

/// dm-semantics 1.8: what follows from the target's answer.
void Lane::dispatch(DmIo& io, Clone& clone, Table::Row& row, Mapped mapped) noexcept {
    if (mapped == Mapped::remapped) [[likely]] {
        if (row.target->traits().sees_end) clone.target = row.target.get();
        send(io, clone);
        return;
    }
    if (mapped == Mapped::kept) {
        if (row.target->traits().sees_end) clone.target = row.target.get();
        return;
    }
    if (mapped == Mapped::done || mapped == Mapped::error) account(io);
    if (mapped == Mapped::requeue) clone.failure.status = Status::requeue;
    if (mapped == Mapped::kill || mapped == Mapped::error) {
        if (clone.failure.status == Status::ok) clone.failure.status = Status::io_error;
        clone.failure.sector = io.start_sector();
    }
    clone.end();
}

/// From now on the part shows in the statistics, however it ends.
void Lane::account(DmIo& io) noexcept {
    if (io.accounted || io.orig->done == settled) return;
    io.accounted = true;
    if (stats_.in_flight() == 0) busy_since_ = clock_.now();
    ++(io.orig->op == Op::read ? stats_.reads_in_flight : stats_.writes_in_flight);
    if (shared_->regions.any()) [[unlikely]]
        io.region_mark = shared_->regions.start(io.region_io(), clock_.now());
}

void Lane::send(DmIo& io, Clone& clone) noexcept {
    account(io);
    clone.mapped_bytes = clone.iter.bytes;
    ++clone.lower->issued;
    if (io.parked != nullptr && io.parked->issued) {
        ++(has_data(io.orig->op) ? clone.lower->reissued : clone.lower->reissued_fan_out);
    }
    clone.lower->device->submit(clone);
}

void issue(Clone& clone) noexcept {
    if (clone.origin != nullptr && clone.origin->dead) {
        mark(Mark::dead_while_kept);
        clone.fail({.status = Status::shutdown}, clone.iter.sector);
        return;
    }
    clone.io->lane->send(*clone.io, clone);
}

void Lane::close_targets(const std::function<void()>& then) {
    assert(pending_ == 0 && parking_.gate_closed());
    auto left = std::make_shared<std::size_t>(1);
    const auto closed = [left, then] {
        if (--*left == 0) then();
    };
    if (table_ != nullptr) {
        *left += table_->rows().size();
        for (Table::Row& row : table_->rows()) row.target->close(closed);
    }
    closed();
}

void Lane::set_options(const DeviceOptions& options) {
    options_ = options;
    limits_ = table_ == nullptr ? Limits{} : table_->limits();
    limits_.read_only |= options.read_only;
    limits_.write_cache |= lingering_ != nullptr;  // [O-4]
    limits_.logical_block_bytes = std::max(limits_.logical_block_bytes, options.block_bytes);
}

void Lane::locate(Place& place) noexcept {
    place.device = nullptr;
    Table::Row* const row = table_ == nullptr ? nullptr : table_->find(place.sector);
    if (row == nullptr) return;
    place.sectors = std::min(place.sectors, row->end() - place.sector);
    place.sector -= row->start_sector;
    place.keep = keep_;
    row->target->locate(place);
    if (BlockDevice* const below = place.device) {
        const bool failing = place.failing;
        below->locate(place);
        place.failing |= failing;
    }
    place.row = static_cast<std::size_t>(row - table_->rows().data());
}

void Lane::close_gate(bool noflush, std::function<void()> on_quiet) {
    if (table_ != nullptr) {
        for (Table::Row& row : table_->rows()) row.target->presuspend();
    }
    parking_.close_gate();
    noflush_ = noflush;
    on_quiet_ = std::move(on_quiet);
    if (noflush) recall_below();
    if (pending_ == 0) agenda_.add(quiet_work_);
}

void Lane::open_gate() noexcept {
    if (on_quiet_ != nullptr && pending_ != 0) mark(Mark::suspend_undone);
    noflush_ = false;
    on_quiet_ = nullptr;
    if (table_ != nullptr) {
        for (Table::Row& row : table_->rows()) row.target->resume();
    }
    parking_.open_gate();
}

void Lane::abandon(const Origin& origin) noexcept {
    parking_.abandon(origin);
}

Hold* Lane::hold(std::uint64_t start_sector, std::uint64_t sectors) {
    return shared_->holds.publish(start_sector, sectors, false);
}

void Lane::release(Hold& hold, std::uint64_t sectors) noexcept {
    shared_->holds.release(hold, sectors, [this](unsigned lane) {
        if (lane == index_) {
            parking_.hold_released();
            return;
        }
        mark(Mark::hold_wakes_other_lane);
        shared_->executor.post(lane, [shared = shared_, lane] {
            if (Lane* other = shared->lanes[lane]) other->parking_.hold_released();
        });
    });
}

std::variant<std::string, TableError> Lane::message(std::uint64_t sector,
                                                    std::span<const std::string> words) {
    if (words.empty()) return TableError("empty-message", "a message needs at least one word");
    try {
        if (words[0].starts_with('@')) {
            return shared_->regions.message(words, limits_.size_sectors, clock_.now());
        }
        Table::Row* row = table_ == nullptr ? nullptr : table_->find(sector);
        if (row == nullptr) {
            return TableError("no-such-sector", "no target holds sector " + std::to_string(sector));
        }
        return row->target->message(words);
    } catch (TableError& error) {
        return std::move(error);
    }
}

bool Lane::congested() const noexcept {
    if (parking_.bytes() > options_.retry.queue_bytes) return true;
    if (table_ == nullptr) return false;
    return std::any_of(table_->lowers().begin(), table_->lowers().end(),
                       [](const Lower& below) { return below.device->congested(); });
}

bool Lane::idle() const noexcept {
    return pending_ == 0 && clones_.in_use() == 0 && requeued_.in_use() == 0 && parking_.empty();
}

DeviceStats Lane::stats() const {
    DeviceStats stats = stats_;
    stats.pending = pending_;
    if (stats.in_flight() != 0) stats.busy += clock_.now() - busy_since_;
    stats.deferred = parking_.deferred_count();
    stats.waiting_retry = parking_.retry_count();
    stats.waiting_overlap = parking_.held_count();
    stats.parked_bytes = parking_.bytes();
    if (table_ == nullptr) return stats;
    stats.faults.add(table_->faults());
    for (const Lower& below : table_->lowers()) {
        stats.below.push_back(
            {below.device->name(), below.issued, below.reissued, below.reissued_fan_out});
    }
    return stats;
}

}  // namespace dmcore
