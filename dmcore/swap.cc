// How the tables of lanes change, and what becomes of stores that leave with them [O-4], [O-7].
#include <cassert>
#include <new>

#include "dmcore/lane.h"
#include "dmcore/mark.h"

namespace dmcore {

/// First all tables change, then what leaves is looked for: a walk goes through other lanes, too.
void Lane::swap(std::span<Swap> swaps) {
    std::vector<StoreWalk> old;
    old.reserve(swaps.size());
    for (const Swap& each : swaps) old.push_back(each.lane->stores(StoreWalk::Of::all));
    for (Swap& each : swaps) {
        Lane& lane = *each.lane;
        assert(lane.pending_ == 0 && lane.parking_.gate_closed());
        if (lane.table_ != nullptr) lane.stats_.faults.add(lane.table_->faults());
        std::swap(lane.table_, each.table);
        std::swap(lane.keep_, each.keep);
        ++lane.table_generation_;
        lane.options_ = each.options;
    }
    for (std::size_t i = 0; i < swaps.size(); ++i) swaps[i].lane->linger(old[i]);
}

StoreWalk Lane::stores(StoreWalk::Of which) {
    StoreWalk walk(which);
    lead(walk, nullptr);
    return walk;
}

void Lane::lead(StoreWalk& walk, const std::shared_ptr<void>&) {
    const bool flushed = walk.of() == StoreWalk::Of::flushed;
    if (table_ != nullptr) {
        for (const Lower& below : table_->lowers()) {
            if (!flushed || table_->flushes(*below.device)) walk.visit(*below.device, keep_);
        }
    }
    // A flush that is under way may end this list, and was issued before what another device has
    // written to these stores: so nobody may count on it.
    if (walk.of() != StoreWalk::Of::all || lingering_ == nullptr) return;
    for (const Lingering& each : *lingering_) walk.found(*each.lower.device, each.keep);
}

/// What flushes do not reach any more may hold writes that no flush has covered.
void Lane::linger(const StoreWalk& old) {
    lingering_.reset();
    const StoreWalk reached = stores(StoreWalk::Of::flushed);
    auto left = std::make_shared<LingeringList>();
    for (const auto& [store, keep] : old.stores()) {
        if (store->limits().write_cache && !reached.has(*store)) left->push_back({store, keep});
    }
    if (!left->empty()) lingering_ = std::move(left);
    set_options(options_);
}

void Lane::restack() {
    if (table_ != nullptr) table_->restack();
    set_options(options_);
}

/// Flushes that are still under way there keep the list, and with it the stores, until they end.
void Lane::forget_lingering(std::uint64_t generation) noexcept {
    if (generation == table_generation_) lingering_.reset();
}

/// All lanes' writes to a lingering store ended before the swap, so one good flush covers them all.
void Lane::flushed_lingering() noexcept {
    mark(Mark::lingering_flushed);
    for (unsigned i = 0; i < shared_->lanes.size(); ++i) {
        if (i == index_) continue;
        shared_->executor.post(i, [shared = shared_, i, generation = table_generation_] {
            if (Lane* lane = shared->lanes[i]) lane->forget_lingering(generation);
        });
    }
    forget_lingering(table_generation_);
}

void Lane::settle() noexcept {
    if (lingering_ == nullptr || parking_.gate_closed()) return;
    auto* flush = new (std::nothrow) Bio;
    if (flush == nullptr) return;  // A client's flush will do it.
    flush->op = Op::flush;
    flush->agenda = &agenda_;
    flush->done = settled;
    flush->origin = &own_;
    submit(*flush);
}

void Lane::end(std::function<void()> then) {
    own_.dead = true;
    parking_.abandon(own_);
    on_quiet_ = std::move(then);
    agenda_.add(quiet_work_);
}

void Lane::settled(Bio& bio) noexcept {
    delete &bio;
}

}  // namespace dmcore
