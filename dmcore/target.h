#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dmcore/bio.h"
#include "dmcore/clock.h"
#include "dmcore/device.h"
#include "dmcore/faults.h"

namespace dmcore {

class Target;
struct DmIo;

/// Offsets into a device below; leaves room so that sums with a length can't wrap.
inline constexpr std::uint64_t table_start_max = UINT64_MAX / 4;

/// A device that a table stands on, and what this lane has sent there.
struct Lower {
    Lower() = default;
    Lower(BlockDevice* below) : device(below) {  // NOLINT: a device is all that it takes.
        if (device != nullptr) limits = device->limits();
    }
    /// For a device that will have these limits once the table is live.
    Lower(BlockDevice* below, const Limits& future) : device(below), limits(future) {}

    BlockDevice* device = nullptr;
    Limits limits;                       // That the table counts on; see Table::restack().
    std::uint64_t issued = 0;            // Parts submitted...
    std::uint64_t reissued = 0;          // ...of which reads and writes not for the first time...
    std::uint64_t reissued_fan_out = 0;  // ...and others: they are run again on all legs.
};

/// What one target gets of one DmIo: a bio of its own over the same data. The lane owns it.
struct Clone : Bio {
    DmIo* io = nullptr;
    Target* target = nullptr;        // Null for a flush that went straight to a device [L-23].
    Lower* lower = nullptr;          // map() sets it: where to submit.
    std::uint32_t number = 0;        // Of this target's clones of a flush, discard or write_zeroes.
    std::uint32_t tag = 0;           // The target's, from map() to end_io().
    std::uint64_t mapped_bytes = 0;  // When map() returned: `iter` may be consumed below.
    void* target_data = nullptr;     // The target's, from map() to end_io().
};

/// What a target did with a clone (dm-semantics 1.8).
enum class Mapped : std::uint8_t {
    remapped,  // lower and iter.sector are set; the lane submits it.
    done,      // Nothing to do below: it has ended well.
    kill,      // Fail it; clone.failure may say why, io_error if it does not.
    error,     // Like kill, but it counts as an I/O in the statistics (flakey's error_writes).
    requeue,   // Run it again after resume.
    kept,      // The target holds it, and passes it to issue() or ends it later, on this shard.
};

/// Submits a clone that map() kept to clone.lower, unless its submitter has died [O-2]. It counts
/// as an I/O from now on [D1-5].
void issue(Clone& clone) noexcept;

/// What the lane needs to know of a target before it maps. Constant after construction.
struct Traits {
    std::uint32_t flush_clones = 0;         // 0: flushes pass it by.
    std::uint32_t discard_clones = 0;       // 0: not supported.
    std::uint32_t write_zeroes_clones = 0;  // 0: the lane writes zeroes instead [D-14].
    bool promises_discard = false;          // Even if what is below can't.
    bool flush_bypass = false;              // [L-23]
    bool sees_end = false;                  // end_io() is wanted.
    std::uint64_t max_io_sectors = 0;       // Reads and writes are cut at multiples of it; 0: not.
};

/// Which text of a target is wanted.
enum class TextForm : std::uint8_t {
    dm,    // As dmsetup prints and loads it.
    full,  // With what dm can't say, such as times under a second.
};

/// A rule that turns one range of a mapped device into I/O on other devices.
///
/// A target lives on one shard and only its lane calls it, so it takes no locks. State that lanes
/// must share is in the row's shared slot (TargetArgs::shared).
class Target {
  public:
    Target() = default;
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    virtual ~Target() = default;

    const Traits& traits() const noexcept { return traits_; }

    /// Aims `clone`, whose iter.sector counts from this target's first sector. May shorten a read
    /// or write; the rest follows as a part of its own [L-17]. Does not block or throw.
    virtual Mapped map(Clone& clone) noexcept = 0;

    /// Sees how a mapped clone ended and may change it; clone.failure says why it failed. Called
    /// only with traits().sees_end.
    virtual void end_io(Clone&) noexcept {}

    /// The device is about to suspend: kept clones are to be issued, and none kept, until resume()
    /// [S-6], [D1-4].
    virtual void presuspend() noexcept {}
    /// The device runs again, or for the first time with this table.
    virtual void resume() noexcept {}
    /// The table is about to go, the device is suspended and quiet. `then`, on this shard, when all
    /// is below that this target still wants written; no call follows but the destructor's.
    virtual void close(const std::function<void()>& then) { then(); }

    /// Does what a message asks, words split as [T-6], and returns the answer, if any, each line
    /// ended. Called on one lane only, suspended or not: what it changes is in the row's shared
    /// slot. Throws TableError, whose `word` counts from the first of the message [T-13].
    virtual std::string message(std::span<const std::string> words);

    /// Arguments as they would be loaded again, without a trailing space.
    virtual std::string table_text(TextForm) const { return {}; }
    /// What dmsetup status prints after the target's name, then what is ours.
    virtual std::string status_text() const { return {}; }
    /// A few words for a person, for `ls --tree`: "up, 6.4s left". Empty: nothing to say.
    virtual std::string state_text() const { return {}; }
    /// Does a target that misbehaves at times behave now? Nothing: it is no such target.
    virtual std::optional<bool> is_up() const { return {}; }

    /// Calls `area` for each range of a lower device that this target declares to use [T-9].
    using Area = std::function<void(const Lower&, std::uint64_t start, std::uint64_t sectors)>;
    virtual void each_area(const Area&) const {}

    /// Where the front of `place` lies, which counts from this target's first sector: Place::device
    /// is null until this target says otherwise (lead_to()).
    virtual void locate(Place& place) const noexcept = 0;

    /// Do flushes reach `below`, one of its areas?
    virtual bool flushes(const Lower&) const { return traits_.flush_clones > 0; }

    /// Adjusts the limits that the devices below gave (dm-semantics 6.4).
    virtual void adjust_limits(Limits&) const {}

  protected:
    static void lead_to(Place& place, const Lower& below, std::uint64_t sector) noexcept {
        place.device = below.device;
        place.sector = sector;
    }
    static void shorten(Place& place, std::uint64_t sectors) noexcept {
        if (sectors < place.sectors) place.sectors = sectors;
    }

    Traits traits_;
};

/// A table or message that the user must fix. `row` and `word` name the place: row of the table
/// from 0, word of its arguments from 0; none: the whole.
struct TableError : std::exception {
    static constexpr int none = -1;

    TableError(std::string slug_, std::string message_, int word_ = none, std::string help_ = {})
        : slug(std::move(slug_)),
          message(std::move(message_)),
          help(std::move(help_)),
          word(word_) {}
    const char* what() const noexcept override { return message.c_str(); }

    std::string slug;     // Stable: "bad-number", "stripe-size".
    std::string message;  // Without place or trailing full stop.
    std::string help;     // The fix; may be empty.
    int row = none;
    int word;
    enum class Part : std::uint8_t { row, start, length, target, args } part = Part::args;
};

/// Keywords of features and messages are the same in any case [T-6].
std::string lower_case(std::string text);

/// Does a number of a table take a leading '+'? Some of dm's do (dm-semantics 6.2).
enum class Plus : std::uint8_t { refused, allowed };

/// What a target is made from: its row's words, and the world it may use. Everything the words may
/// get wrong is thrown as a TableError.
class TargetArgs {
  public:
    using FindDevice = std::function<Lower&(const std::string& name)>;

    std::uint64_t start_sector = 0;  // Of the row...
    std::uint64_t sectors = 0;       // ...and its length.
    std::string device_name;         // Of the mapped device.
    Clock* clock = nullptr;
    Agenda* agenda = nullptr;       // Of the lane's shard: where I/O of the target's own ends.
    Time loaded_at{};               // One reading for all lanes [F-9].
    std::uint64_t seed = 0;         // For this row and lane.
    FaultCounts* faults = nullptr;  // Of the lane's table.
    std::shared_ptr<void>* shared = nullptr;  // One slot a row, empty for the first lane [O-9].

    TargetArgs(std::span<const std::string> words, FindDevice find)
        : words_(words), find_(std::move(find)) {}

    std::size_t count() const noexcept { return words_.size(); }
    const std::string& word(std::size_t index) const;

    /// Decimal digits only; at most `max`. `what` is for the message: "chunk".
    std::uint64_t number(std::size_t index, std::string_view what, std::uint64_t max,
                         Plus plus = Plus::refused) const;

    /// The device that the word names, opened once a table.
    Lower& device(std::size_t index) const;

    [[noreturn]] void fail(std::string slug, std::string message, int word = TableError::none,
                           std::string help = {}) const;

  private:
    std::span<const std::string> words_;
    FindDevice find_;
};

/// How one argument is written in a table file. In dm's order; config turns the named form into
/// words by these, so that a target is described in its own file only.
struct ArgSpec {
    enum class Kind : std::uint8_t {
        device,         // One word: a name.
        sectors,        // One word: a size of the table file, or bare sectors.
        bytes,          // One word: a size, given to the target in bytes (dust's block size).
        seconds,        // One word: a duration; whole seconds as "9", others as "500ms".
        milliseconds,   // One word: a duration, in ms.
        count,          // One word: a bare number.
        devices,        // Words: NAME OFFSET for each of a list; its length fills `devices_count`.
        devices_count,  // One word: how many `devices` lists; never written by the user.
        features,       // Words: COUNT then those of a list; an entry may be a name, NAME: VALUE,
                        // NAME: [VALUES] or NAME: {KEY: VALUE} in the order of `feature_values`.
        flag,           // A word of ours: the argument's name where it is true. Else none.
        ranges,         // Words of ours: the argument's name, and "60,100-199" of a list of numbers
                        // and ranges. None where the list is empty or left out.
    };
    std::string_view name;
    Kind kind;
    std::string_view
        if_absent{};     // The word where it is left out; empty: required (features: "0").
    unsigned group = 0;  // Above 0: left out with all of its group and of those after it.
};

/// One feature that takes values, for ArgSpec::Kind::features.
struct FeatureSpec {
    std::string_view name;
    std::span<const std::string_view> values;  // Names of its values in dm's order.
    bool rate = false;  // One value: a rate such as 10%, given to the target in 10^-9.
};

/// Everything the rest of the program knows of a kind of target.
struct TargetType {
    std::string_view name;
    std::string_view version;  // Of the kernel's target that this one follows.
    std::string_view summary;  // One line for `dmnbd targets`.
    std::span<const ArgSpec> args;
    std::span<const FeatureSpec> features;
    std::unique_ptr<Target> (*make)(const TargetArgs&);
};

}  // namespace dmcore
