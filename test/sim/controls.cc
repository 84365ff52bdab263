#include "sim/controls.h"

#include <algorithm>

namespace sim {

Controls::Controls(dmcore::Random& random, Trace& trace, Machine& machine, Stacks& stacks,
                   Ledger& ledger, bool retries)
    : random_(random),
      trace_(trace),
      machine_(machine),
      stacks_(stacks),
      ledger_(ledger),
      retries_(retries),
      devices_(stacks.count()) {}

bool Controls::open_for_clients(unsigned device) const noexcept {
    return !moving_ || (stacks_.below(device) >> *moving_ & 1) == 0;
}

bool Controls::healed() const noexcept {
    return std::all_of(devices_.begin(), devices_.end(), [this](const Device& each) {
        return each.state == State::running && !each.loaded && !(each.whole && fits(*each.whole));
    });
}

const char* Controls::state_text(unsigned device) const noexcept {
    static constexpr const char* texts[] = {"running",  "suspending", "suspended",
                                            "resuming", "undoing",    "in a joint swap"};
    return texts[static_cast<std::size_t>(devices_[device].state)];
}

void Controls::act() {
    go_on_joint(true);
    move_wholly();
    const auto number = static_cast<unsigned>(random_.below(devices_.size()));
    if (moving_ == number) return;
    const std::uint64_t dice = random_.below(8);
    const bool noflush = random_.below(3) != 0;
    switch (devices_[number].state) {
        case State::running:
            if (dice < 3) load_something(number);
            if (dice == 3 && joint_.empty()) return begin_joint(number);
            if (dice == 4 && !moving_ && !devices_[number].loaded) {
                moving_ = number;
                return;
            }
            if (dice == 5 && devices_[number].loaded) return drop(number);
            if (dice == 6 && devices_[number].loaded) return resume(number, noflush);
            return suspend(number, noflush);
        case State::suspending: return dice < 3 ? undo(number) : void();
        case State::suspended:
            check_quiet(number);
            if (dice == 0) load_something(number);
            return dice < 5 ? resume(number, noflush) : void();
        case State::resuming: return dice == 0 ? undo(number) : void();
        case State::undoing:
        case State::joint: return;
    }
}

void Controls::heal() {
    moving_.reset();
    go_on_joint(false);
    for (unsigned i = 0; i < devices_.size(); ++i) {
        if (devices_[i].state == State::suspended) resume(i, true);
        if (devices_[i].state != State::running) continue;
        if (devices_[i].loaded) drop(i);
        // Retries of each level wait for those below it, which would find nothing there for long.
        if (devices_[i].whole) load(i, *devices_[i].whole, Kind::other_length);
        if (devices_[i].loaded) resume(i, true);
    }
}

/// Everything that a table stands on must be there, as long as needed, and stay so.
bool Controls::fits(const Rows& rows) const noexcept {
    return std::all_of(rows.begin(), rows.end(), [&](const Row& row) {
        return std::all_of(row.legs.begin(), row.legs.end(), [&](const Row::Leg& leg) {
            const unsigned below = leg.below.number;
            return !leg.below.device ||
                   (leg.offset + stacks_.used_sectors(row) <= stacks_.sectors(below) &&
                    settled(below));
        });
    });
}

/// No table of it, or of what is below it, is about to change its length or its sectors.
bool Controls::settled(unsigned device) const noexcept {
    for (unsigned i = 0; i <= device; ++i) {
        const bool below = (stacks_.below(device) >> i & 1) != 0;
        if (below && devices_[i].loaded && devices_[i].kind != Kind::same_sectors) return false;
    }
    return true;
}

void Controls::load_something(unsigned device) {
    Device& state = devices_[device];
    if (state.loaded) return;
    if (state.whole && random_.below(2) == 0) return load(device, *state.whole, Kind::other_length);
    if (random_.below(6) == 0 && !state.whole && stacks_.uncut(device).size() > 1) {
        return load(device, stacks_.shrunk(device), Kind::other_length);
    }
    load(device, stacks_.other_cuts(device), Kind::same_sectors);
}

void Controls::load(unsigned device, Rows rows, Kind kind) {
    if (!fits(rows)) return;
    Device& state = devices_[device];
    machine_.device(device).load(machine_.build(device, rows));
    state.next = std::move(rows);
    state.kind = kind;
    state.loaded = true;
}

void Controls::drop(unsigned device) {
    machine_.device(device).clear();
    devices_[device].loaded = false;
    ledger_.settle(device);
}

void Controls::suspend(unsigned device, bool noflush) {
    trace_.note(What::suspend, device, noflush);
    devices_[device].state = State::suspending;
    machine_.device(device).suspend(noflush, [this, device] {
        trace_.note(What::suspended, device);
        devices_[device].state = State::suspended;
        check_quiet(device);
    });
}

/// nothing of it is below, and nothing may be issued until it is resumed.
void Controls::check_quiet(unsigned device) {
    const dmcore::DeviceStats stats = machine_.stats(device);
    if (stats.pending == 0 && stats.in_flight() == 0) return;
    trace_.violation("[R-13], [R-21] d%u is suspended with %llu parts pending", device,
                     static_cast<unsigned long long>(stats.pending));
}

void Controls::resume(unsigned device, bool noflush) {
    Device& state = devices_[device];
    trace_.note(What::resume, device, state.loaded, noflush);
    if (state.loaded && state.kind == Kind::other_length) {
        ledger_.unsettle(device);
        // What is added may be used as soon as the first lane has the table; what is taken away
        // may be used until the last one has.
        if (state.whole) set_rows(device, state.next);
    }
    state.state = State::resuming;
    state.swaps = machine_.device(device).event_number();
    machine_.device(device).resume([this, device] { resumed(device); }, noflush);
}

void Controls::resumed(unsigned device) {
    Device& state = devices_[device];
    trace_.note(What::swapped, device, state.loaded);
    state.state = State::running;
    if (!state.loaded) return;
    state.loaded = false;
    if (state.kind == Kind::other_length && !state.whole) {
        state.whole = stacks_.uncut(device);
    } else if (state.kind == Kind::other_length) {
        state.whole.reset();
        state.shrunk.clear();
    } else if (state.kind == Kind::other_sectors) {
        state.whole.reset();
        moving_.reset();
    }
    set_rows(device, state.next);
    if (state.whole) state.shrunk = state.next;
    ledger_.settle(device);
}

void Controls::set_rows(unsigned device, const Rows& rows) {
    stacks_.set(device, rows, devices_[device].kind == Kind::same_sectors);
    ledger_.tables_changed();
    if (trace_.verbose()) stacks_.print(device);
}

void Controls::undo(unsigned device) {
    if (moving_ == device || machine_.device(device).suspended()) return;
    const bool resuming = devices_[device].state == State::resuming;
    const bool too_late = machine_.device(device).event_number() != devices_[device].swaps;
    if (resuming && (too_late || !devices_[device].loaded)) return;
    trace_.note(What::undo, device);
    devices_[device].state = State::undoing;
    machine_.device(device).undo_suspend([this, device] {
        Device& state = devices_[device];
        state.state = State::running;
        if (state.whole) set_rows(device, state.shrunk);
        ledger_.settle(device);
    });
    if (!retries_) ledger_.excuse(device);
}

/// Only while nothing is under way there, nor may get there by a table that grows back: nobody
/// could say where that would end up.
void Controls::move_wholly() {
    if (!moving_ || ledger_.used(*moving_)) return;
    const unsigned device = *moving_;
    Device& state = devices_[device];
    if (state.state != State::running || state.loaded) return;
    const bool others_settled =
        std::all_of(devices_.begin(), devices_.end(), [](const Device& each) {
            return !each.whole && (!each.loaded || each.kind == Kind::same_sectors);
        });
    if (!others_settled) {
        moving_.reset();
        return;
    }
    Rows rows = stacks_.random_table(device);
    // What stands on a shorter one would retry for hours: each level so often as the next one does.
    const bool bearable =
        !retries_ || rows.back().start + rows.back().sectors >= stacks_.sectors(device);
    if (bearable) load(device, std::move(rows), Kind::other_sectors);
    if (state.loaded) {
        resume(device, random_.below(2) == 0);
    } else {
        moving_.reset();
    }
}

/// The device and all those above it change their tables as one.
void Controls::begin_joint(unsigned device) {
    std::vector<unsigned> all;
    for (unsigned i = device; i < stacks_.count(); ++i) {
        if ((stacks_.below(i) >> device & 1) != 0) all.push_back(i);
    }
    const bool ready = std::all_of(all.begin(), all.end(), [&](unsigned each) {
        return devices_[each].state == State::running && !devices_[each].loaded &&
               fits(stacks_.rows(each)) && moving_ != each;
    });
    if (!ready) return;
    std::vector<dmcore::JointSwap::Part> parts;
    for (const unsigned each : all) {
        devices_[each].state = State::joint;
        devices_[each].kind = Kind::same_sectors;
        devices_[each].next = stacks_.other_cuts(each);
        dmcore::MappedDevice& mapped = machine_.device(each);
        parts.push_back({&mapped, machine_.build(each, devices_[each].next), mapped.options()});
    }
    trace_.note(What::suspend, device, all.size());
    joint_ = std::move(all);
    joint_quiet_ = joint_ending_ = false;
    joint_swap_ = std::make_unique<dmcore::JointSwap>(std::move(parts), machine_.all_devices());
    joint_swap_->suspend([this] {
        joint_quiet_ = true;
        for (const unsigned each : joint_) check_quiet(each);
    });
}

void Controls::go_on_joint(bool may_undo) {
    if (joint_.empty() || joint_ending_) return;
    if (may_undo && random_.below(16) == 0) {
        joint_ending_ = true;
        joint_swap_->undo([this] { end_joint(false); });
        if (retries_) return;
        for (const unsigned each : joint_) ledger_.excuse(each);
    } else if (joint_quiet_) {
        joint_ending_ = true;
        joint_swap_->commit([this] { end_joint(true); });
    }
}

void Controls::end_joint(bool swapped) {
    trace_.note(What::swapped, joint_.front(), swapped, joint_.size());
    for (const unsigned each : joint_) {
        devices_[each].state = State::running;
        if (swapped) set_rows(each, devices_[each].next);
        ledger_.settle(each);
    }
    joint_.clear();
}

}  // namespace sim
