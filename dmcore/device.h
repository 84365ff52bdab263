#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dmcore/bio.h"
#include "dmcore/survey.h"

namespace dmcore {

/// What a device can do, as the block layer's queue limits (dm-semantics 6.4).
struct Limits {
    std::uint64_t size_sectors = 0;
    std::uint32_t logical_block_bytes = 512;
    std::uint32_t io_min_bytes = 512;
    std::uint32_t io_opt_bytes = 0;  // 0: no preference.
    bool write_cache = false;        // Acknowledged writes need a flush to be durable [L-6].
    bool discard = false;            // [L-30]
    bool fast_zero = false;          // write_zeroes costs less than to write that many bytes.
    bool read_only = false;

    friend bool operator==(const Limits&, const Limits&) = default;
};

class BlockDevice;

/// A walk down a stack to its stores, each met once. Used on the stack's shard.
class StoreWalk {
  public:
    enum class Of : std::uint8_t {
        all,
        live,     // Only those that live tables stand on...
        flushed,  // ...or, of these, those that a flush reaches.
    };
    struct Found {
        BlockDevice* store;
        std::shared_ptr<void> keep;  // Keeps it open.
    };

    explicit StoreWalk(Of which) noexcept : of_(which) {}

    Of of() const noexcept { return of_; }
    /// Goes to `device`, which `keep` keeps open.
    void visit(BlockDevice& device, const std::shared_ptr<void>& keep);
    void found(BlockDevice& store, const std::shared_ptr<void>& keep);
    bool has(const BlockDevice& store) const;
    const std::vector<Found>& stores() const noexcept { return stores_; }

  private:
    Of of_;
    std::set<const BlockDevice*> seen_;
    std::vector<Found> stores_;
};

/// Anything that takes bios: a store, or a lane of a mapped device. One of the three seams. One
/// object serves one shard.
class BlockDevice {
  public:
    virtual ~BlockDevice() = default;

    /// Takes a bio that lies inside the device. Does not block or throw. The bio ends later through
    /// its agenda, on this shard, never inside this call.
    virtual void submit(Bio& bio) noexcept = 0;

    virtual const Limits& limits() const noexcept = 0;

    /// As in the table file; used in table text and messages.
    virtual const std::string& name() const noexcept = 0;

    /// Finds where the front of a range that lies inside the device is stored. A store is where it
    /// ends. See Place.
    virtual void locate(Place& place) noexcept { place.device = this; }

    /// Of a store: what tells its bytes from all others, those of another run of the program, too.
    /// Empty: nobody has said.
    virtual std::string identity() const { return {}; }

    /// More waits here, or below, than may: read no further requests for this device.
    virtual bool congested() const noexcept { return false; }

    /// A mapped device above has begun a noflush suspend: ends with a `recalled` requeue those bios
    /// that only wait here, or below, and that it would take back, so that they don't delay it.
    virtual void recall() noexcept {}

    /// Tells the walk of this store, or leads it to what is below. `keep` keeps this device open.
    virtual void lead(StoreWalk& walk, const std::shared_ptr<void>& keep) {
        walk.found(*this, keep);
    }
};

/// A copy of `text` that lives for ever, the same pointer for the same text. For the few strings
/// that travel with failed I/O and may outlive the table that made them. Any thread; locks.
const char* interned(std::string_view text);

}  // namespace dmcore
