#include "dmcore/regions.h"

#include <algorithm>

namespace dmcore {

Time StatsRegions::Region::unit() const noexcept {
    return precise ? Time(1) : Time(std::chrono::milliseconds(1));
}

/// Brings the times up to `now` with what was in flight until then. Clocks of shards may
/// differ by one turn: then no time has passed.
void StatsRegions::advance_time(Area& area, Time now) noexcept {
    if (now <= area.stamp) return;
    const Time passed = now - area.stamp;
    area.stamp = now;
    const std::uint64_t in_flight = area.in_flight[0] + area.in_flight[1];
    if (in_flight == 0) return;
    area.busy += passed;
    area.queued += passed * in_flight;
    for (std::size_t i = 0; i < area.directions.size(); ++i) {
        if (area.in_flight[i] != 0) area.directions[i].busy += passed;
    }
}

/// Calls `visit(Area&, index, sectors)` for each area that the I/O overlaps, with the sectors that
/// lie in it, [A-22].
template <class Visit>
void StatsRegions::for_each_area(Region& region, const RegionIo& io, Visit&& visit) noexcept {
    const std::uint64_t begin = std::max(io.sector, region.start_sector);
    const std::uint64_t end =
        std::min(io.sector + io.sectors, region.start_sector + region.sectors);
    for (std::uint64_t at = begin; at < end;) {
        const std::uint64_t offset = at - region.start_sector;
        const std::uint64_t index = offset / region.step;
        const std::uint64_t until = at + std::min(end - at, region.step - offset % region.step);
        visit(region.areas[index], index, until - at);
        at = until;
    }
}

/// The areas of all regions that were there when the part began.
template <class Visit>
void StatsRegions::for_each_known(const RegionIo& io, RegionMark mark, Visit&& visit) noexcept {
    for (auto& each : regions_) {
        Region& region = each.second;  // A name that clang 14 lets lambdas use.
        if (region.number >= mark.regions_made) continue;
        for_each_area(region, io, [&](Area& area, std::uint64_t index, std::uint64_t sectors) {
            visit(region, area, index, sectors);
        });
    }
}

RegionMark StatsRegions::start(const RegionIo& io, Time now) noexcept {
    if (io.sectors == 0) return {};
    const std::lock_guard lock(mutex_);
    const RegionMark mark{regions_made_, io.sector == last_end_ && io.write == last_write_};
    last_end_ = io.sector + io.sectors;
    last_write_ = io.write;
    for_each_known(io, mark, [&](Region&, Area& area, std::uint64_t, std::uint64_t) {
        advance_time(area, now);
        ++area.in_flight[io.write];
    });
    return mark;
}

void StatsRegions::end(const RegionIo& io, RegionMark mark, Time started, Time now) noexcept {
    const std::lock_guard lock(mutex_);
    const Time duration = std::max(now - started, Time{});
    const auto account = [&](Region& region, Area& area, std::uint64_t index,
                             std::uint64_t sectors) {
        advance_time(area, now);
        --area.in_flight[io.write];
        Direction& direction = area.directions[io.write];
        ++direction.ios;
        direction.merges += mark.merged;
        direction.sectors += sectors;
        direction.time += duration;
        if (region.bounds.empty()) return;
        const auto units = static_cast<std::uint64_t>(duration / region.unit());
        const auto above = std::upper_bound(region.bounds.begin(), region.bounds.end(), units);
        const auto bin = static_cast<std::size_t>(above - region.bounds.begin());
        ++region.bins[index * region.bin_count() + bin];
    };
    for_each_known(io, mark, account);
}

void StatsRegions::put_back(const RegionIo& io, RegionMark mark, Time now) noexcept {
    const std::lock_guard lock(mutex_);
    for_each_known(io, mark, [&](Region&, Area& area, std::uint64_t, std::uint64_t) {
        advance_time(area, now);
        --area.in_flight[io.write];
    });
}

}  // namespace dmcore
