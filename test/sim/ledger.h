#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "dmcore/bio.h"
#include "dmcore/clock.h"
#include "sim/model.h"
#include "sim/stacks.h"
#include "sim/trace.h"

namespace sim {

inline constexpr unsigned request_sectors_max = 64;
inline constexpr unsigned requests_max = 192;

/// One I/O of a client, from being sent until nothing of it is left anywhere.
struct Request {
    enum class State : std::uint8_t { unused, sent, zombie };  // zombie: its connection has died.
    enum class Sort : std::uint8_t { direct, nbd };

    unsigned number = 0;
    std::uint32_t generation = 0;  // How often the number has been used.
    State state = State::unused;
    dmcore::Op op{};
    bool fua = false;
    unsigned device = 0;
    std::uint32_t sector = 0;
    std::uint32_t sectors = 0;
    std::uint64_t first_value = 0;  // What is written to its first sector; the next gets one more.
    Moment began = 0;
    dmcore::Time began_at{};
    bool may_fail = false;   // A table that gets shorter may refuse it.
    bool must_fail = false;  // It reaches past the end.
    bool shallow = false;    // Only stores have been below its device.
    bool unsure = false;     // A remote has forgotten something of it.
    std::uint32_t reach = 0;
    std::vector<Spot> spots;
    std::bitset<request_sectors_max> done;  // Sectors that a store has finished well.

    std::uint64_t value(unsigned index) const noexcept {
        return op == dmcore::Op::write ? first_value + index : 0;
    }
};

/// How a request was answered, as far as all clients can tell.
enum class Outcome : std::uint8_t { good, failed, unsupported };

/// What clients have asked, what they may be told, and what follows from it for the model.
class Ledger {
  public:
    /// What a seed allows: failures for which tables give no reason.
    struct Excuses {
        bool io = false;    // Of any I/O.
        bool sync = false;  // Of flushes and FUA writes.
    };

    Ledger(const Trace& trace, Model& model, const Stacks& stacks, const Excuses& excuses);

    /// Null: too many are under way.
    Request* take() noexcept;
    /// `op`, `device` and the range are set. Forgets nothing of a write that is sent again:
    /// `first_value` stays if it is not 0.
    void begin(Request& request);
    /// `values`: of a read that went well, one a sector.
    void answered(Request& request, Outcome outcome, const std::uint64_t* values);
    void died(Request& request);
    /// Nothing of a zombie is left in any store's hands.
    void gone(Request& request);
    /// The world has crashed: nothing of it will ever end.
    void forget_all();

    /// The table of `device` changes its length: what is sent until settle() may fail.
    void unsettle(unsigned device);
    /// What is under way through this device may fail.
    void excuse(unsigned device);
    void settle(unsigned device) { unsettled_ &= ~(1U << device); }
    /// What is under way may now reach sectors that it could not reach before: a part that was
    /// refused for want of them may be tried again.
    void tables_changed();
    /// A remote has lost something: what is under way there may not be there when it is answered.
    void doubt(unsigned disk);

    Request& request(unsigned number) noexcept { return requests_[number]; }
    unsigned under_way() const noexcept {
        return requests_max - static_cast<unsigned>(free_.size());
    }
    /// Is anything under way that goes through this device?
    bool used(unsigned device) const noexcept;
    std::uint64_t answers() const noexcept { return answers_; }

    /// What one device's clients have asked and got, for its statistics.
    struct Sum {
        std::uint64_t requests = 0;  // But for flushes.
        std::uint64_t sectors = 0;
        bool clean = true;  // All went well and was heard.
    };
    const Sum& sum(unsigned device) const noexcept { return sums_[device]; }

  private:
    bool is_shallow(unsigned device) const noexcept;
    void begin_sector(const Request& request, std::uint32_t index);
    void check_read(const Request& request, const std::uint64_t* values) const;
    void check_failure(const Request& request) const;
    void settle_write(const Request& request, bool good);
    void release(Request& request);

    const Trace& trace_;
    Model& model_;
    const Stacks& stacks_;
    const Excuses& excuses_;
    std::vector<Request> requests_;
    std::vector<unsigned> free_;
    std::uint64_t next_value_ = 1;
    std::uint32_t unsettled_ = 0;  // Devices, as bits.
    std::uint64_t answers_ = 0;
    Sum sums_[devices_max];
};

}  // namespace sim
