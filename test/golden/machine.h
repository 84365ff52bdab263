#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "golden/recording.h"
#include "unit/stack.h"

namespace golden {

/// What one system call of the recorder came to.
struct IoResult {
    std::string error;          // "EIO"; empty: none.
    std::uint64_t sectors = 0;  // Done, of a read or write.
    std::vector<Sector> data;   // Of a read.
    std::uint64_t took_ms = 0;
};

/// Changes of the counters of a disk's stat file, by the names the recordings have.
using Counters = std::map<std::string, std::uint64_t>;

/// The recorder's machine with our device-mapper in place of the kernel's: backing disks, mapped
/// devices, and the block layer's part of each system call, which is not dm's: O_DIRECT's
/// alignment, the end of a disk, O_DSYNC, BLKZEROOUT. Errors of steps are errno names, empty for
/// none.
class Machine {
  public:
    Machine() { world_.clock.set({}); }

    /// Time passes, and with it what waits for it, up to `ms`; never back.
    void pass_to(std::uint64_t ms);

    void add_disk(const std::string& name, std::uint64_t sectors, std::uint32_t block_bytes);
    /// io_min and discard as the recorder's disk had them.
    void shape_disk(const std::string& name, const Json& limits);

    std::string create(const std::string& name, const std::vector<std::string>& rows,
                       bool read_only);
    std::string load(const std::string& name, const std::vector<std::string>& rows);
    void suspend(const std::string& name);
    void resume(const std::string& name);
    std::string remove(const std::string& name);
    std::string message(const std::string& name, std::uint64_t sector, const std::string& words,
                        std::vector<std::string>& answer);

    IoResult io(const Event& event);
    /// "NO_DEVICE", or "SUSPENDED" with the device that is; empty: an I/O can be started.
    std::string obstacle(const std::string& name, std::string& at);
    /// The block layer lets the first piece of a discard end at a multiple of this; 0: does not.
    void discarding(const std::string& name, std::uint64_t granularity_sectors) {
        granularity_[name] = granularity_sectors;
    }
    /// Flushes that came to a mapped device through an unstriped row above [D-7].
    std::uint64_t forwarded_flushes(const std::string& name) { return forwarded_[name]; }
    /// BLKZEROOUT asks the device for zeroes where it offers them, in pieces that the block layer
    /// cuts at multiples of `chunk_sectors` (0: none); the recorder's disks then refuse, and zeroes
    /// are written instead.
    void zeroing(const std::string& name, bool offered, std::uint64_t chunk_sectors) {
        zeroing_[name] = {offered, chunk_sectors};
    }

    bool is_disk(const std::string& name) const { return disks_.contains(name); }
    bool has_device(const std::string& name) const { return devices_.contains(name); }
    const dmcore::Limits& limits(const std::string& name);
    Counters counters(const std::string& name);
    std::string table_text(const std::string& name);
    std::string status_text(const std::string& name);
    std::vector<Sector> image(const std::string& disk);

  private:
    struct Disk {
        stack::Probe* probe;
        Counters counters;
    };
    dmcore::BlockDevice& device_of(const std::string& name);
    std::string submit(const std::string& name, dmcore::Op op, std::uint64_t sector,
                       std::uint64_t sectors, bool fua, std::vector<std::byte>* data);
    std::string transfer(const Event& event, std::uint64_t sectors, IoResult& result);
    std::string discard(const std::string& name, std::uint64_t sector, std::uint64_t sectors);
    void note_forwarded(const std::string& name, bool below_unstriped);
    std::string zero_out(const std::string& name, std::uint64_t sector, std::uint64_t sectors);
    std::string flush(const std::string& name);

    stack::World world_;
    std::map<std::string, Disk> disks_;
    std::map<std::string, dmcore::MappedDevice*> devices_;
    struct Zeroing {
        bool offered = false;
        std::uint64_t chunk_sectors = 0;
    };
    std::map<std::string, Zeroing> zeroing_;
    std::map<std::string, std::uint64_t> granularity_;
    std::map<std::string, std::uint64_t> forwarded_;
};

}  // namespace golden
