#include "server/features.h"

#include <functional>

#include "server/exports.h"

namespace server {
namespace {

using dmcore::StoreWalk;
using Holds = std::function<bool(const dmcore::BlockDevice&)>;

StoreWalk walk_down(dmcore::Lane& lane, StoreWalk::Of which) {
    StoreWalk walk(which);
    walk.visit(lane, nullptr);
    return walk;
}

/// "a, b"
std::string names(const StoreWalk& walk, const Holds& holds) {
    std::string text;
    for (const auto& found : walk.stores()) {
        if (!holds(*found.store)) continue;
        text += (text.empty() ? "" : ", ") + found.store->name();
    }
    return text;
}

bool has_cache(const dmcore::BlockDevice& store) {
    return store.limits().write_cache;
}

std::string why_flush(dmcore::Lane& lane, const StoreWalk& live) {
    const StoreWalk reached = walk_down(lane, StoreWalk::Of::flushed);
    const std::string cached = names(reached, has_cache);
    std::string text = cached.empty() ? "no store that a flush reaches keeps writes in a cache"
                                      : "a flush reaches the caches of " + cached;
    const std::string missed = names(live, [&](const dmcore::BlockDevice& store) {
        return has_cache(store) && !reached.has(store);
    });
    if (!missed.empty()) text += "; as in dm, targets keep it from " + missed;
    return text;
}

/// What is below and can't do something, or, if nothing is named, the targets.
std::string why_not(const StoreWalk& live, const Holds& can) {
    const std::string unable = names(live, [&](const auto& store) { return !can(store); });
    return unable.empty() ? "not every target passes it on" : "it is not known of " + unable;
}

}  // namespace

Features features_of(const Export& served, unsigned shard) {
    const nbd::ExportInfo info = served.info(shard);
    dmcore::Lane& lane = served.device().mapped.lane(shard);
    const StoreWalk live = walk_down(lane, StoreWalk::Of::live);
    const std::string flush = why_flush(lane, live);
    const std::string locked = "the export is read-only";
    const auto discards = [](const dmcore::BlockDevice& store) { return store.limits().discard; };
    const auto fast = [](const dmcore::BlockDevice& store) { return store.limits().fast_zero; };
    const bool zero = info.can_zero && !info.read_only;
    const bool fast_zero = zero && info.fast_zero;
    const bool trim = info.can_trim && !info.read_only;
    Features features;
    features.all = {
        {"flush", info.can_flush, flush},
        {"fua", info.can_fua, "a write that asks for it is flushed in its store before its answer"},
        {"multi_conn", info.can_multi_conn,
         "all clients share one device, and each of its stores has one cache or none"},
        {"trim", trim,
         info.read_only ? locked
         : trim         ? "all stores and targets take it"
                        : why_not(live, discards)},
        {"zero", zero, zero ? "where a store can't, zeroes are written" : locked},
        {"fast_zero", fast_zero,
         info.read_only ? locked
         : fast_zero    ? "all stores give space back rather than write"
                        : why_not(live, fast)},
    };
    for (const auto& found : live.stores()) features.stores.push_back(found.store->name());
    return features;
}

}  // namespace server
