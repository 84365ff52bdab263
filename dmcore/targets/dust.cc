#include <algorithm>
#include <atomic>
#include <bit>
#include <map>
#include <mutex>

#include "dmcore/limits.h"
#include "dmcore/target.h"

namespace dmcore {
namespace {

constexpr std::uint64_t block_bytes_max = 2'097'152 * sector_bytes;
constexpr std::size_t dm_words = 3;
constexpr std::uint64_t write_fails_max = 255;

/// What all lanes of a row know of their bad blocks. Block numbers count from the start of the
/// device below [DU-2].
struct BadBlocks {
    std::atomic<bool> armed = false;  // Enabled, with a list: read without the mutex.
    std::mutex mutex;                 // For all that follows.
    bool enabled = false;
    bool quiet = false;                          // For the status only: nothing is logged here.
    std::map<std::uint64_t, std::uint8_t> list;  // Writes of each that are still to fail.

    /// To be called after each change.
    void arm() { armed.store(enabled && !list.empty(), std::memory_order_relaxed); }
};

/// A range of a disk with bad blocks: reads of them fail until they are written again
/// (dm-semantics 7.7).
class Dust final : public Target {
  public:
    explicit Dust(const TargetArgs& args);

    Mapped map(Clone& clone) noexcept override;
    std::string message(std::span<const std::string> words) override;
    std::string table_text(TextForm form) const override;
    std::string status_text() const override;
    std::string state_text() const override;
    void each_area(const Area& area) const override { area(*lower_, start_, sectors_); }
    void locate(Place& place) const noexcept override;

  private:
    void read_block_size(const TargetArgs& args);
    void read_own_words(const TargetArgs& args, BadBlocks& bad);
    void read_ranges(const TargetArgs& args, std::size_t word, BadBlocks& bad) const;
    std::uint64_t block_max() const noexcept;
    std::uint64_t block_number(const TargetArgs& words, std::size_t word) const;
    bool fails(const Clone& clone) noexcept;
    std::string simple_message(const std::string& word);
    std::string block_message(const TargetArgs& words, const std::string& word);
    void add_block(const TargetArgs& words);

    Lower* lower_ = nullptr;
    std::uint64_t start_ = 0;
    std::uint64_t sectors_;
    std::uint64_t block_sectors_ = 0;
    std::string own_words_;  // As loaded, each after a space.
    std::shared_ptr<BadBlocks> bad_;
    const char* label_;
    FaultCounts& faults_;
};

Dust::Dust(const TargetArgs& args)
    : sectors_(args.sectors),
      label_(interned("dust bad block on '" + args.device_name + "'")),
      faults_(*args.faults) {
    if (args.count() < dm_words) {
        args.fail("argument-count", "dust takes 3 arguments: device offset block_size");
    }
    start_ = args.number(1, "offset", table_start_max);
    read_block_size(args);
    lower_ = &args.device(0);
    auto made = std::make_shared<BadBlocks>();  // Later lanes check the words with it only.
    read_own_words(args, *made);
    made->arm();
    if (*args.shared == nullptr) *args.shared = made;
    bad_ = std::static_pointer_cast<BadBlocks>(*args.shared);
    traits_ = {.flush_clones = 1, .discard_clones = 1, .max_io_sectors = block_sectors_};
}

void Dust::read_block_size(const TargetArgs& args) {
    constexpr int word = 2;
    const std::uint64_t bytes = args.number(word, "block_size", UINT32_MAX, Plus::allowed);
    const std::uint64_t most = std::min(sectors_ * sector_bytes, block_bytes_max);
    if (bytes < sector_bytes) {
        args.fail("block-size", "block_size is at least 512 bytes", word);
    }
    if (!std::has_single_bit(bytes)) {
        args.fail("block-size", "block_size must be a power of 2", word);
    }
    if (bytes > most) {
        args.fail("block-size",
                  "block_size is at most " + std::to_string(most) +
                      " bytes here: the length of "
                      "the segment, or 1 GiB",
                  word);
    }
    block_sectors_ = bytes / sector_bytes;
}

/// What dm can only be told by messages: `enabled`, and `bad_blocks 60,100-199`.
void Dust::read_own_words(const TargetArgs& args, BadBlocks& bad) {
    for (std::size_t i = dm_words; i < args.count(); ++i) {
        const std::string name = lower_case(args.word(i));
        own_words_ += ' ' + name;
        if (name == "enabled") {
            bad.enabled = true;
        } else if (name == "bad_blocks" && i + 1 < args.count()) {
            read_ranges(args, ++i, bad);
            own_words_ += ' ' + args.word(i);
        } else {
            args.fail(
                "argument-count",
                "dust takes 3 arguments: device offset block_size, not '" + args.word(i) + "'",
                static_cast<int>(i),
                "only 'enabled' and 'bad_blocks 60,100-199' may follow, as our own words");
        }
    }
}

void Dust::read_ranges(const TargetArgs& args, std::size_t word, BadBlocks& bad) const {
    const int place = static_cast<int>(word);
    const std::string& text = args.word(word);
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(',', at), text.size());
        const std::string range = text.substr(at, end - at);
        at = end + 1;
        const std::size_t dash = range.find('-');
        const std::string ends[] = {range.substr(0, dash),
                                    dash == std::string::npos ? range : range.substr(dash + 1)};
        std::uint64_t from = 0;
        std::uint64_t to = 0;
        try {
            const TargetArgs numbers(ends, nullptr);
            from = block_number(numbers, 0);
            to = block_number(numbers, 1);
        } catch (TableError& error) {
            error.word = place;
            error.help = "write them like bad_blocks: [60, 100-199]";
            throw;
        }
        if (from > to) {
            args.fail("bad-number", "bad blocks " + range + " are the wrong way round", place);
        }
        if (to - from >= limits::bad_blocks_max - bad.list.size()) {
            args.fail(
                "too-many-blocks",
                "a segment has at most " + std::to_string(limits::bad_blocks_max) + " bad blocks",
                place);
        }
        for (; from <= to; ++from) bad.list.emplace(from, std::uint8_t{0});
    }
}

/// One more than there is: dm takes it as well.
std::uint64_t Dust::block_max() const noexcept {
    return lower_->limits.size_sectors / block_sectors_;
}

std::uint64_t Dust::block_number(const TargetArgs& words, std::size_t word) const {
    return words.number(word, "block", block_max());
}

Mapped Dust::map(Clone& clone) noexcept {
    clone.lower = lower_;
    if (clone.op == Op::flush) return Mapped::remapped;  // [D-8]
    clone.iter.sector += start_;
    if (!bad_->armed.load(std::memory_order_relaxed) || !fails(clone)) return Mapped::remapped;
    ++faults_[Fault::bad_block];
    clone.failure = {.status = Status::io_error, .injected = true, .where = label_};
    return Mapped::kill;
}

/// A read or write is judged by its first block [DU-2], a discard by all that it touches [D-8]: it
/// mends all of them, or fails.
bool Dust::fails(const Clone& clone) noexcept {
    const std::uint64_t first = clone.iter.sector / block_sectors_;
    const std::uint64_t last =
        clone.op == Op::discard ? (clone.iter.end() - 1) / block_sectors_ : first;
    const std::lock_guard lock(bad_->mutex);
    if (!bad_->enabled) return false;
    const auto begin = bad_->list.lower_bound(first);
    const auto end = bad_->list.upper_bound(last);
    if (clone.op == Op::read) return begin != end;  // [DU-3]
    bool failed = false;
    for (auto each = begin; each != end; ++each) {  // [DU-4]
        if (each->second == 0) continue;
        --each->second;
        failed = true;
    }
    if (!failed) bad_->list.erase(begin, end);
    bad_->arm();
    return failed;
}

/// As far as all blocks are good, or none is.
void Dust::locate(Place& place) const noexcept {
    const std::uint64_t sector = start_ + place.sector;
    if (bad_->armed.load(std::memory_order_relaxed)) {
        const std::lock_guard lock(bad_->mutex);
        std::uint64_t end = sector / block_sectors_;
        auto bad = bad_->enabled ? bad_->list.lower_bound(end) : bad_->list.end();
        place.failing = bad != bad_->list.end() && bad->first == end;
        if (place.failing) {
            for (; bad != bad_->list.end() && bad->first == end; ++bad) ++end;
        } else if (bad != bad_->list.end()) {
            end = bad->first;
        }
        if (end > sector / block_sectors_) shorten(place, end * block_sectors_ - sector);
    }
    lead_to(place, *lower_, sector);
}

[[noreturn]] void fail_message(std::string text, int word) {
    throw TableError("bad-message", std::move(text), word);
}

std::string Dust::message(std::span<const std::string> words) {
    const TargetArgs args(words, nullptr);
    const std::string word = lower_case(args.word(0));
    const std::lock_guard lock(bad_->mutex);
    std::string answer;
    if (words.size() == 1) {
        answer = simple_message(word);
    } else if (words.size() == 2) {
        answer = block_message(args, word);
    } else if (words.size() == 3 && word == "addbadblock") {
        add_block(args);
    } else {
        fail_message(
            "dust has no message '" + words[0] + "' of " + std::to_string(words.size()) + " words",
            0);
    }
    bad_->arm();
    return answer;
}

std::string Dust::simple_message(const std::string& word) {
    auto& list = bad_->list;
    if (word == "enable" || word == "disable") {
        bad_->enabled = word == "enable";
    } else if (word == "quiet") {
        bad_->quiet = !bad_->quiet;
    } else if (word == "countbadblocks") {
        return "countbadblocks: " + std::to_string(list.size()) + " badblock(s) found\n";
    } else if (word == "listbadblocks") {
        std::string text;
        for (const auto& each : list) text += std::to_string(each.first) + '\n';
        return text.empty() ? "No blocks in badblocklist\n" : text;
    } else if (word == "clearbadblocks") {
        const bool any = !list.empty();
        list.clear();
        return any ? "dust_clear_badblocks: badblocks cleared\n"
                   : "dust_clear_badblocks: no badblocks found\n";
    } else if (word == "addbadblock" || word == "removebadblock" || word == "queryblock") {
        fail_message(word + " needs a block number", 0);
    } else {
        fail_message("dust has no message '" + word + "'", 0);
    }
    return {};
}

std::string Dust::block_message(const TargetArgs& words, const std::string& word) {
    if (word != "addbadblock" && word != "removebadblock" && word != "queryblock") {
        fail_message("dust has no message '" + word + "' of 2 words", 0);
    }
    const std::uint64_t block = block_number(words, 1);
    const std::string name = "block " + std::to_string(block);
    if (word == "queryblock") {
        const bool found = bad_->list.contains(block);
        return "dust_query_block: " + name + (found ? " found" : " not found") +
               " in badblocklist\n";
    }
    if (word == "addbadblock") {
        add_block(words);
    } else if (bad_->list.erase(block) == 0) {
        fail_message(name + " is not a bad block", 1);
    }
    return {};
}

/// `addbadblock BLOCK [WRITES]`: so many writes fail before one mends it.
void Dust::add_block(const TargetArgs& words) {
    const std::uint64_t block = block_number(words, 1);
    const std::uint64_t fails =
        words.count() > 2 ? words.number(2, "the number of failing writes", write_fails_max) : 0;
    if (bad_->list.size() >= limits::bad_blocks_max) {
        fail_message("there are " + std::to_string(limits::bad_blocks_max) + " bad blocks already",
                     0);
    }
    if (!bad_->list.emplace(block, static_cast<std::uint8_t>(fails)).second) {
        fail_message("block " + std::to_string(block) + " is a bad block already", 1);
    }
}

std::string Dust::table_text(TextForm form) const {
    return lower_->device->name() + ' ' + std::to_string(start_) + ' ' +
           std::to_string(block_sectors_ * sector_bytes) +
           (form == TextForm::full ? own_words_ : std::string());
}

std::string Dust::status_text() const {
    const std::lock_guard lock(bad_->mutex);
    return lower_->device->name() + (bad_->enabled ? " fail_read_on_bad_block" : " bypass") +
           (bad_->quiet ? " quiet" : " verbose");
}

std::string Dust::state_text() const {
    const std::lock_guard lock(bad_->mutex);
    return std::to_string(bad_->list.size()) + " bad blocks" + (bad_->enabled ? "" : ", disabled");
}

constexpr ArgSpec arg_specs[] = {
    {"device", ArgSpec::Kind::device},    {"offset", ArgSpec::Kind::sectors, "0"},
    {"block_size", ArgSpec::Kind::bytes}, {"bad_blocks", ArgSpec::Kind::ranges},
    {"enabled", ArgSpec::Kind::flag},
};

}  // namespace

extern const TargetType dust_target;
const TargetType dust_target = {
    .name = "dust",
    .version = "1.0.0",
    .summary = "a range with bad blocks: they can't be read until they are written",
    .args = arg_specs,
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Dust>(args);
    },
};

}  // namespace dmcore
