#pragma once

#include <optional>
#include <vector>

#include "sim/machine.h"

namespace sim {

/// What an operator does to devices: suspends of both kinds, some taken back, tables with other
/// cuts, shorter and longer ones, wholly other ones, and several devices at once [O-7].
class Controls {
  public:
    Controls(dmcore::Random& random, Trace& trace, Machine& machine, Stacks& stacks, Ledger& ledger,
             bool retries);

    /// One step on some device, if it can take one.
    void act();
    /// Ends what has begun: opens all gates, drops tables that are not live, gives back what was
    /// taken from a device's end.
    void heal();
    /// Every device runs, with its gate open, and is as long as what is below allows.
    bool healed() const noexcept;
    const char* state_text(unsigned device) const noexcept;
    /// May clients send to it? Not while all of its sectors are about to move.
    bool open_for_clients(unsigned device) const noexcept;

  private:
    enum class State : std::uint8_t { running, suspending, suspended, resuming, undoing, joint };
    enum class Kind : std::uint8_t { same_sectors, other_length, other_sectors };
    struct Device {
        State state = State::running;
        bool loaded = false;
        std::uint64_t swaps = 0;  // Of the device, when its resume began.
        Kind kind = Kind::same_sectors;
        Rows next;
        std::optional<Rows> whole;  // Before it was shrunk...
        Rows shrunk;                // ...and since.
    };

    bool fits(const Rows& rows) const noexcept;
    bool settled(unsigned device) const noexcept;
    void load_something(unsigned device);
    void load(unsigned device, Rows rows, Kind kind);
    void drop(unsigned device);
    void suspend(unsigned device, bool noflush);
    void resume(unsigned device, bool noflush);
    void resumed(unsigned device);
    void set_rows(unsigned device, const Rows& rows);
    void undo(unsigned device);
    void move_wholly();
    void begin_joint(unsigned device);
    void go_on_joint(bool may_undo);
    void end_joint(bool swapped);
    void check_quiet(unsigned device);

    dmcore::Random& random_;
    Trace& trace_;
    Machine& machine_;
    Stacks& stacks_;
    Ledger& ledger_;
    const bool retries_;
    std::vector<Device> devices_;
    std::optional<unsigned> moving_;  // Waits until nothing is under way there, then moves.
    std::vector<unsigned> joint_;     // These change their tables as one [O-7]...
    std::unique_ptr<dmcore::JointSwap> joint_swap_;
    bool joint_quiet_ = false;   // ...which have nothing below them any more...
    bool joint_ending_ = false;  // ...and are about to have what they will have.
};

}  // namespace sim
