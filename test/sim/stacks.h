#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dmcore/random.h"
#include "dmcore/table.h"
#include "sim/model.h"

namespace sim {

/// What a table stands on: a disk, or the device of that number.
struct Below {
    bool device = false;
    unsigned number = 0;
};

/// One row as the simulation understands it, told apart from the code under test.
struct Row {
    enum Kind : std::uint8_t { linear, striped, flakey, delay, unstriped, zero, error } kind;
    enum Feature : std::uint8_t { none, error_reads, drop_writes, error_writes };
    struct Leg {
        Below below;
        std::uint32_t offset = 0;
    };
    std::uint32_t start = 0;
    std::uint32_t sectors = 0;
    std::uint32_t chunk = 0;    // Of striped and unstriped.
    std::uint32_t stripes = 0;  // Of unstriped...
    std::uint32_t stripe = 0;   // ...and which one.
    std::uint32_t up_ms = 0;    // Of flakey; delay's milliseconds.
    std::uint32_t down_ms = 0;
    Feature feature = none;
    std::vector<Leg> legs;

    bool misbehaves() const noexcept { return kind == flakey && down_ms != 0; }
    bool lossy() const noexcept { return misbehaves() && feature == drop_writes; }
};
using Rows = std::vector<Row>;

/// Where a sector of a device lies in the end.
struct Spot {
    Place place = fails;
    bool lossy = false;     // A write may be dropped on the way, as the table says.
    bool may_fail = false;  // An I/O may fail on the way, as the table says.
    friend bool operator==(const Spot&, const Spot&) = default;
};

/// The tables of all devices: random ones, and what follows from the live ones.
class Stacks {
  public:
    /// `error_rows`: among the rows that fail on purpose are some that always do.
    Stacks(dmcore::Random& random, unsigned disks, std::uint32_t sectors_per_disk, bool error_rows);

    /// A table for device number `device` over disks and devices of lower numbers.
    Rows random_table(unsigned device);
    /// The same mapping as the live table's, in other rows.
    Rows other_cuts(unsigned device);
    /// A part of the live table, from its start.
    Rows shrunk(unsigned device);
    static std::vector<dmcore::RowSpec> specs(const Rows& rows);
    /// From its offset on, how much of each leg the row uses.
    static std::uint32_t used_sectors(const Row& row) noexcept;

    unsigned count() const noexcept { return static_cast<unsigned>(live_.size()); }
    void add(const Rows& rows);
    void print(unsigned device) const;
    /// Makes it live, and works out anew what follows for it and the devices above it.
    /// `other_cuts`: the mapping stays.
    void set(unsigned device, const Rows& rows, bool other_cuts);
    const Rows& rows(unsigned device) const noexcept { return live_[device]; }
    const Rows& uncut(unsigned device) const noexcept { return uncut_[device]; }
    std::uint32_t sectors(unsigned device) const noexcept {
        return static_cast<std::uint32_t>(spots_[device].size());
    }
    const Spot& spot(unsigned device, std::uint32_t sector) const noexcept {
        static constexpr Spot past_end{fails, false, true};
        return sector < spots_[device].size() ? spots_[device][sector] : past_end;
    }
    /// How much I/O at disks a flush of this device is, at the most.
    std::uint32_t flush_clones(unsigned device) const noexcept { return flush_clones_[device]; }
    /// Disks that a flush of this device reaches for certain, as a set of bits.
    std::uint32_t reach(unsigned device) const noexcept { return reach_[device]; }
    /// Has there been a row that can drop a flush? Fail one? A flush also goes to what a device
    /// stood on before, so it matters wherever that row was [O-4].
    bool ever_lossy() const noexcept { return ever_lossy_; }
    bool ever_failing() const noexcept { return ever_failing_; }
    /// The devices below it, as a set of bits; itself is one of them.
    std::uint32_t below(unsigned device) const noexcept { return below_[device]; }
    /// Has any table ever stood on it?
    bool has_ever_had_parent(unsigned device) const noexcept {
        return (had_parents_ >> device & 1) != 0;
    }

  private:
    bool random_row(unsigned device, Row& row);
    bool take_room(unsigned device, Row::Leg& leg, std::uint32_t sectors);
    void work_out(unsigned device);
    Spot spot_below(const Row::Leg& leg, std::uint64_t sector) const noexcept;
    Spot spot_of(const Row& row, std::uint32_t offset) const noexcept;
    std::uint32_t size_of(const Below& below) const noexcept;
    std::uint32_t reach_of(const Row& row) const noexcept;

    dmcore::Random& random_;
    unsigned disks_;
    std::uint32_t sectors_per_disk_;
    bool spicy_;  // Rows that fail or drop I/O on purpose.
    bool small_chunks_;
    bool error_rows_;
    std::vector<Rows> live_;
    std::vector<Rows> uncut_;  // The same mappings in as few rows as they were made of.
    std::vector<std::vector<Spot>> spots_;
    std::vector<std::uint32_t> reach_;
    std::vector<std::uint32_t> flush_clones_;
    std::vector<std::uint32_t> below_;
    std::uint32_t had_parents_ = 0;  // As bits.
    bool ever_lossy_ = false;
    bool ever_failing_ = false;
    std::vector<std::uint32_t> used_;  // While a table is made: up to where each lower is taken.
};

}  // namespace sim
