#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "dmcore/bio.h"
#include "dmcore/clock.h"

namespace dmcore {

/// What a part carries from region_start to region_end.
struct RegionMark {
    std::uint64_t regions_made = 0;  // Regions made later do not know this part.
    bool merged = false;             // It goes on where the one before ended.
};

/// One part as the regions see it. Zero sectors are not counted.
struct RegionIo {
    std::uint64_t sector = 0;
    std::uint64_t sectors = 0;
    bool write = false;  // Everything that is not a read.
};

/// dm's own statistics of one mapped device, the regions of `@stats_*` messages (dm-semantics 4.5).
/// Shared by its lanes; any thread. Without regions, accounting costs one load; with regions it
/// takes a mutex, as it is for a person who measures.
///
/// "Merged" is decided per device: a part merges if it starts where the one accounted before it,
/// on any lane, ended, in the same direction.
class StatsRegions {
  public:
    bool any() const noexcept { return active_.load(std::memory_order_relaxed); }

    RegionMark start(const RegionIo& io, Time now) noexcept;
    /// `started` is the creation of the part: waiting for a target counts.
    void end(const RegionIo& io, RegionMark mark, Time started, Time now) noexcept;
    /// The part did not end but was put back to be run again: it counts nowhere [D-3].
    void put_back(const RegionIo& io, RegionMark mark, Time now) noexcept;

    /// Answers `@stats_create` and the others. `device_sectors` is what "-" stands for. Throws
    /// TableError, with the slugs "bad-message" (EINVAL), "no-such-region" (ENOENT),
    /// "too-many-areas" (EOVERFLOW) and "no-memory" (ENOMEM).
    std::string message(std::span<const std::string> words, std::uint64_t device_sectors, Time now);

  private:
    struct Direction {
        std::uint64_t ios = 0;
        std::uint64_t merges = 0;
        std::uint64_t sectors = 0;
        Time time{};  // Sum of durations.
        Time busy{};  // With at least one in flight.
    };
    struct Area {
        std::array<Direction, 2> directions;  // Reads, writes.
        std::array<std::uint64_t, 2> in_flight{};
        Time busy{};
        Time queued{};  // In flight x time.
        Time stamp{};   // Up to when the three times are right.
    };
    struct Region {
        std::uint64_t number = 0;  // How many were made before it.
        std::uint64_t start_sector = 0;
        std::uint64_t sectors = 0;
        std::uint64_t step = 0;
        std::string program;
        std::string aux;
        bool precise = false;               // Nanoseconds instead of milliseconds.
        std::vector<std::uint64_t> bounds;  // Of the histogram, in the region's unit; empty: none.
        std::vector<Area> areas;
        std::vector<std::uint64_t> bins;  // bounds + 1 for each area.

        Time unit() const noexcept;
        std::size_t bin_count() const noexcept { return bounds.empty() ? 0 : bounds.size() + 1; }
    };
    struct Lines {
        std::size_t first;
        std::size_t end;
    };
    using Words = std::span<const std::string>;

    // regions.cc: accounting.
    static void advance_time(Area& area, Time now) noexcept;
    template <class Visit>
    static void for_each_area(Region& region, const RegionIo& io, Visit&& visit) noexcept;
    template <class Visit>
    void for_each_known(const RegionIo& io, RegionMark mark, Visit&& visit) noexcept;

    // region_messages.cc: what people ask.
    std::string create(Words words, std::uint64_t device_sectors, Time now);
    std::string list(Words words) const;
    std::string print(Words words, bool clear, Time now);
    Region& find(Words words);
    static void parse_range(Region& region, const std::string& word, std::uint64_t device_sectors);
    static void parse_step(Region& region, const std::string& word);
    static void parse_option(Region& region, const std::string& word);
    void make_areas(Region& region, Time now) const;
    static Lines parse_lines(const Region& region, Words words);
    static std::string area_text(const Region& region, std::size_t index);
    static void clear_lines(Region& region, Lines lines);

    std::mutex mutex_;
    std::atomic<bool> active_{false};
    std::map<std::uint64_t, Region> regions_;  // By id.
    std::uint64_t regions_made_ = 0;
    std::uint64_t last_end_ = UINT64_MAX;  // Nothing merges with no I/O.
    bool last_write_ = false;
};

}  // namespace dmcore
