#pragma once

#include <cstdint>
#include <vector>

#include "sim/trace.h"

namespace sim {

/// A sector of a disk: sectors of all disks are numbered through. Values above the last are no
/// place but say why.
using Place = std::uint32_t;
inline constexpr Place reads_zeroes = 0xfffffffe;
inline constexpr Place fails = 0xfffffffd;
inline constexpr Place place_max = 0xfffffff0;

inline constexpr unsigned devices_max = 10;
inline constexpr unsigned disks_max = 4;

/// Which values every sector may legally hold: what a client may read, and what may be left after a
/// crash.
///
/// Each value that was ever written is a `Write`. It dies when a later write over it has been
/// answered: one that began after this one had ended. Dead ones may still come back from a crash,
/// until a flush, or FUA, has made their death durable.
class Model {
  public:
    Model(const Trace& trace, unsigned disks, std::uint32_t sectors_per_disk);

    /// Where a client's write went in: the sector of its device.
    struct Entry {
        unsigned device = 0;
        std::uint32_t sector = 0;

        bool operator==(const Entry&) const = default;
    };

    /// From now on the place may hold `value`. `request`: its slot, `index`: the sector of it.
    void begin(Place place, std::uint64_t value, unsigned request, unsigned index, Entry entry);
    /// The request was answered. `sure`: the value is there now; if not, it may be. `began`: when
    /// the client sent it. `fua`: and it is durable.
    void end(Place place, unsigned request, Moment began, bool sure, bool fua);
    /// Its connection died: what is sent later to the same sector of the same device comes after it
    /// [O-1]. A table that maps a place twice has two sectors for it, which know nothing of each
    /// other...
    void died(Place place, unsigned request);
    /// ...and now nothing of it is in a store's hands any more.
    void gone(Place place, unsigned request);
    /// Every place is in `request`'s hands at index `visit(index)`.
    template <class Visit>
    bool for_each_index(Place place, unsigned request, Visit&& visit) const {
        bool found = false;
        for (const Write& each : places_[place]) {
            if (each.request != request || each.really_ended != 0) continue;
            found = true;
            visit(each.index);
        }
        return found;
    }

    /// May a read that began then return it now?
    bool legal(Place place, std::uint64_t value, Moment read_began) const noexcept;
    /// May it be there after a crash?
    bool survives(Place place, std::uint64_t value) const noexcept;

    /// A flush that was sent at `began` to `device` has been answered well: what was answered
    /// through the device before that is durable, and all of the disks in `reach`.
    void flushed(unsigned device, std::uint32_t reach, Moment began) noexcept;
    /// After a crash, or a remote that forgot: of all that has ended only this is left.
    void pin(Place place, std::uint64_t value);
    /// Forgets what no check needs any more. No request in flight began before `oldest`.
    void set_oldest(Moment oldest) noexcept { oldest_ = oldest; }

    unsigned disk_of(Place place) const noexcept { return place / sectors_per_disk_; }
    std::uint32_t places() const noexcept { return static_cast<std::uint32_t>(places_.size()); }
    /// What may be there, for the report of a violation.
    void print(Place place) const noexcept;

  private:
    struct Write {
        std::uint64_t value;
        Moment start;
        Moment end;           // 0: not answered.
        Moment really_ended;  // 0: a store may still have it.
        Moment dead_at;       // 0: it may be there.
        std::uint16_t request;
        std::uint16_t index;
        Entry entry;
        std::uint8_t killer;  // The device of the write that killed it.
        bool dead_durably;
    };
    bool durably_dead(const Write& write, unsigned disk) const noexcept;
    void kill_older(std::vector<Write>& writes, const Write& killer, Moment began, bool fua) const;
    void purge(std::vector<Write>& writes, unsigned disk) const;

    const Trace& trace_;
    std::uint32_t sectors_per_disk_;
    std::vector<std::vector<Write>> places_;
    Moment flushed_[disks_max] = {};
    Moment flushed_via_[devices_max][disks_max] = {};
    Moment oldest_ = 0;
};

}  // namespace sim
