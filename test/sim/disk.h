#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dmcore/device.h"
#include "dmcore/random.h"
#include "sim/trace.h"

namespace sim {

class Disk;

/// Who looks at what reaches the disks, and decides when and how it ends.
class Watcher {
  public:
    virtual ~Watcher() = default;
    virtual void reached(Disk& disk, dmcore::Bio& bio) noexcept = 0;
};

/// A disk that lies only in the ways real ones lie. It keeps one number a sector: what is stamped
/// at both ends of the sector. Writes go to a volatile cache: a crash keeps for each sector any
/// value it has had since it was last durable.
class Disk final : public dmcore::BlockDevice {
  public:
    Disk(unsigned number, std::uint32_t sectors, dmcore::Random& random, Watcher& watcher);

    // BlockDevice
    void submit(dmcore::Bio& bio) noexcept override { watcher_.reached(*this, bio); }
    const dmcore::Limits& limits() const noexcept override { return limits_; }
    const std::string& name() const noexcept override { return name_; }

    unsigned number() const noexcept { return number_; }
    std::uint32_t sectors() const noexcept { return static_cast<std::uint32_t>(now_.size()); }
    std::uint64_t value(std::uint32_t sector) const noexcept { return now_[sector]; }

    void write(std::uint32_t sector, std::uint64_t value, bool fua);
    /// How many sector writes have ended so far; a flush covers those before its submission.
    std::uint64_t writes() const noexcept { return writes_; }
    void flush(std::uint64_t covers);
    bool has_unflushed() const noexcept { return !dirty_.empty(); }
    const std::vector<std::uint32_t>& unflushed() const noexcept { return dirty_; }
    /// Calls `visit(value)` for everything that a crash could leave in the sector.
    template <class Visit>
    void each_after_crash(std::uint32_t sector, Visit&& visit) const {
        visit(durable_[sector]);
        for (const Cached& each : cached_[sector]) visit(each.value);
    }
    /// Keeps for each sector any one of those.
    void crash(dmcore::Random& random);

    // What is wrong with it.
    bool remote = false;           // May restart and forget what was not flushed.
    bool down = false;             // A remote that is restarting.
    bool fail_one_flush = false;   // It has forgotten answered writes and has not told yet.
    bool sync_failed = false;      // Flush and FUA fail until it is opened anew [O-3].
    std::uint32_t error_rate = 0;  // In 1024.
    std::uint32_t requeue_rate = 0;
    std::uint32_t sync_error_rate = 0;
    std::uint32_t inline_rate = 0;  // Answered within submit().

  private:
    struct Cached {
        std::uint64_t value;
        std::uint64_t order;
    };

    unsigned number_;
    std::string name_;
    dmcore::Limits limits_;
    Watcher& watcher_;
    std::vector<std::uint64_t> now_;
    std::vector<std::uint64_t> durable_;
    std::vector<std::vector<Cached>> cached_;
    std::vector<std::uint32_t> dirty_;  // Sectors with something cached, each once.
    std::uint64_t writes_ = 0;
};

}  // namespace sim
