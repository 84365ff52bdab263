#pragma once

#include <memory>
#include <vector>

#include "sim/disk.h"
#include "sim/ledger.h"

namespace sim {

/// Which ill a seed lets stores do, in 1024 of each I/O.
struct Ills {
    std::uint32_t errors = 0;
    std::uint32_t requeues = 0;    // Push-backs that no suspend asked for.
    std::uint32_t transients = 0;  // EAGAIN and the like.
    std::uint32_t sync_errors = 0;
    std::uint32_t inlines = 0;  // Ends within submit().
};

/// All disks, and the I/O that is in their hands: it ends in any order, when told to.
class Stores final : public Watcher {
  public:
    Stores(dmcore::Random& random, Trace& trace, Model& model, Ledger& ledger, const Ills& ills);

    void add(std::uint32_t sectors);
    unsigned count() const noexcept { return static_cast<unsigned>(disks_.size()); }
    Disk& disk(unsigned number) noexcept { return *disks_[number]; }

    void reached(Disk& disk, dmcore::Bio& bio) noexcept override;
    bool busy() const noexcept { return !pending_.empty(); }
    /// Ends one I/O, any one.
    void finish_one();
    /// A remote goes away, for some time: what it has in hand is lost, or not...
    void take_down(Disk& disk);
    /// ...and comes back without some of what it had answered and not flushed.
    void bring_up(Disk& disk);
    /// All power is lost: checks what may be left, keeps one of the possible rests. What is under
    /// way ends badly; nothing may be issued until heal().
    void crash();
    void heal() { crashed_ = false; }
    /// Nothing that a flush has promised would be lost now.
    void check_promises() const;

    std::uint64_t ios() const noexcept { return ios_; }
    /// From now on only what suspends want: so that all can come to rest.
    void be_good() { good_ = true; }
    void be_bad() { good_ = false; }

  private:
    struct Pending {
        Disk* disk;
        dmcore::Bio* bio;
        std::uint64_t covers;  // Of a flush: the writes before it.
    };

    Request* request_of(const dmcore::Bio& bio) const noexcept;
    void check_issue(const dmcore::Bio& bio, const Request* request) const;
    void finish(const Pending& pending);
    bool fails(const Pending& pending, dmcore::Failure& why);
    bool sync_fails(const Pending& pending, dmcore::Failure& why);
    bool spared(const dmcore::Bio& bio);
    void read(const Pending& pending);
    void write(const Pending& pending, bool whole);
    void write_sector(const Pending& pending, const Request& request, std::uint32_t sector,
                      std::uint64_t value, bool whole);
    void apply(const Pending& pending);
    void tear(const Pending& pending);
    void lend_rubbish(const dmcore::Bio& bio);
    void forget(Disk& disk);
    void check_promises(const Disk& disk) const;
    bool chance(std::uint32_t in_1024) noexcept { return random_.below(1024) < in_1024; }
    Place place(const Disk& disk, std::uint32_t sector) const noexcept {
        return disk.number() * disk.sectors() + sector;
    }

    dmcore::Random& random_;
    Trace& trace_;
    Model& model_;
    Ledger& ledger_;
    const Ills& ills_;
    std::vector<std::unique_ptr<Disk>> disks_;
    std::vector<Pending> pending_;
    bool good_ = false;
    bool crashed_ = false;
    std::uint64_t ios_ = 0;
};

/// What is stamped at both ends of a sector of memory; they must agree.
std::uint64_t stamp_of(const Trace& trace, const std::byte* sector);
void stamp(std::byte* sector, std::uint64_t value) noexcept;

/// How a client's own bios say whose they are: `owner` of both sorts leads to the number.
struct Tag {
    unsigned number;
    std::uint32_t generation;
};
/// Of a bio that came from outside of dmcore. Written by whoever makes such bios.
Tag tag_of(const dmcore::Bio& bio) noexcept;

}  // namespace sim
