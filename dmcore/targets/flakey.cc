#include <cstdio>
#include <cstring>
#include <new>
#include <optional>

#include "dmcore/random.h"
#include "dmcore/target.h"
#include "dmcore/targets/flakey_features.h"

namespace dmcore {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t seconds_max = UINT32_MAX;
constexpr std::uint64_t copy_bytes_max = 4U << 20;  // Of one corrupted write [F-16], [L-17].

/// A linear range that works for `up`, then misbehaves for `down`, over and over
/// (dm-semantics 7.3).
class Flakey final : public Target {
  public:
    explicit Flakey(const TargetArgs& args);

    Mapped map(Clone& clone) noexcept override;
    void end_io(Clone& clone) noexcept override;
    std::string table_text(TextForm form) const override;
    std::string state_text() const override;
    std::optional<bool> is_up() const override { return !down(); }
    void each_area(const Area& area) const override { area(*lower_, start_, sectors_); }
    void locate(Place& place) const noexcept override {
        place.failing = down();
        lead_to(place, *lower_, start_ + place.sector);
    }

  private:
    enum Tag : std::uint32_t { mapped_up, mapped_down };

    milliseconds phase() const noexcept;
    bool down() const noexcept { return phase() >= up_; }
    Mapped map_down(Clone& clone) noexcept;
    Mapped fail(Clone& clone, Fault fault, Mapped how) noexcept;
    void corrupt_write(Clone& clone) noexcept;
    void corrupt(const Clone& clone, BioIter iter, bool write) noexcept;

    Lower* lower_ = nullptr;
    std::uint64_t start_ = 0;
    std::uint64_t sectors_;
    milliseconds up_{};
    milliseconds down_{};
    FlakeyFeatures features_;
    Clock& clock_;
    Time loaded_at_;
    Random random_;
    const char* label_;
    FaultCounts& faults_;
};

/// Whole seconds as in dm, or what only a table file can say: "500ms".
milliseconds interval(const TargetArgs& args, std::size_t index, std::string_view what) {
    const std::string& word = args.word(index);
    if (word.ends_with("ms")) {
        const std::string digits = word.substr(0, word.size() - 2);
        const TargetArgs one(std::span(&digits, 1), nullptr);
        try {
            return milliseconds(one.number(0, what, seconds_max * 1000));
        } catch (TableError& error) {
            error.word = static_cast<int>(index);
            throw;
        }
    }
    return std::chrono::seconds(args.number(index, what, seconds_max));
}

Flakey::Flakey(const TargetArgs& args)
    : sectors_(args.sectors),
      clock_(*args.clock),
      loaded_at_(args.loaded_at),
      random_(args.seed),
      label_(interned("flakey down on '" + args.device_name + "'")),
      faults_(*args.faults) {
    if (args.count() < 4) {
        args.fail("argument-count", "flakey takes device offset up down and then features");
    }
    start_ = args.number(1, "offset", table_start_max);
    up_ = interval(args, 2, "up");
    down_ = interval(args, 3, "down");
    const auto sum = up_ + down_;
    if (sum.count() == 0) args.fail("bad-interval", "up and down can't both be 0", 3);
    if (sum > std::chrono::seconds(seconds_max)) {
        args.fail("bad-interval", "up and down together are too long", 3);
    }
    features_ = FlakeyFeatures(args, 4);
    lower_ = &args.device(0);
    traits_ = {.flush_clones = 1, .discard_clones = 1, .sees_end = true};
}

milliseconds Flakey::phase() const noexcept {
    const auto elapsed = std::chrono::duration_cast<milliseconds>(clock_.now() - loaded_at_);
    return elapsed % (up_ + down_);
}

Mapped Flakey::map(Clone& clone) noexcept {
    clone.lower = lower_;
    clone.tag = mapped_up;
    clone.target_data = nullptr;
    if (down()) {  // Decided once, here: a clone mapped while up is never touched [F-10].
        const Mapped mapped = map_down(clone);
        if (mapped != Mapped::remapped) return mapped;
    }
    if (clone.op != Op::flush) clone.iter.sector += start_;
    return Mapped::remapped;
}

Mapped Flakey::fail(Clone& clone, Fault fault, Mapped how) noexcept {
    ++faults_[fault];
    clone.failure = {.status = Status::io_error, .injected = true, .where = label_};
    return how;
}

Mapped Flakey::map_down(Clone& clone) noexcept {
    clone.tag = mapped_down;
    if (clone.op == Op::read) {
        if (features_.corrupts_reads()) clone.loans = nullptr;  // Only what is ours can be spoiled.
        return features_.error_reads ? fail(clone, Fault::error_reads, Mapped::kill)
                                     : Mapped::remapped;
    }
    if (features_.drop_writes) {
        ++faults_[Fault::drop_writes];
        return Mapped::done;
    }
    if (features_.error_writes) return fail(clone, Fault::error_writes, Mapped::error);
    if (clone.op == Op::write && features_.corrupts_writes()) corrupt_write(clone);
    return Mapped::remapped;
}

/// The submitter's data stays as it is: a copy is spoiled and sent. Without memory for the copy the
/// clone goes out unspoiled [F-16].
void Flakey::corrupt_write(Clone& clone) noexcept {
    if (clone.iter.bytes > copy_bytes_max) clone.iter.bytes = copy_bytes_max;
    const auto bytes = static_cast<std::size_t>(clone.iter.bytes);
    auto* memory = static_cast<std::byte*>(::operator new(sizeof(Segment) + bytes, std::nothrow));
    if (memory == nullptr) return;
    auto* segment = new (memory) Segment{memory + sizeof(Segment), bytes};
    std::byte* to = segment->data;
    for_each_piece(clone.iter, clone.segments, [&](const std::byte* from, std::size_t count) {
        std::memcpy(to, from, count);
        to += count;
    });
    clone.segments = segment;
    clone.iter.segment = 0;
    clone.iter.done = 0;
    clone.target_data = memory;
    corrupt(clone, clone.iter, true);
}

void Flakey::end_io(Clone& clone) noexcept {
    if (clone.target_data != nullptr) {
        ::operator delete(clone.target_data);
        clone.target_data = nullptr;
        return;
    }
    const bool good_read = clone.op == Op::read && clone.failure.status == Status::ok;
    if (clone.tag != mapped_down || !good_read || !features_.corrupts_reads()) return;
    BioIter iter = clone.iter;  // A device below may have consumed it [F-15].
    rewind(iter, clone.segments, true, clone.mapped_bytes - iter.bytes);
    corrupt(clone, iter, false);
}

/// Byte numbers count within this clone [F-17].
void Flakey::corrupt(const Clone& clone, BioIter iter, bool write) noexcept {
    bool spoiled = false;
    const auto set_byte = [&](std::uint64_t at, std::uint8_t value) {
        spoiled = true;
        std::uint64_t begin = 0;
        for_each_piece(iter, clone.segments, [&](std::byte* data, std::size_t bytes) {
            if (at >= begin && at - begin < bytes) data[at - begin] = std::byte{value};
            begin += bytes;
        });
    };
    const auto& fixed = features_.corrupt_byte;
    if (fixed && fixed->write == write && iter.bytes >= fixed->nth && fixed->matches(clone)) {
        set_byte(fixed->nth - 1, fixed->value);
    }
    const std::uint32_t rate =
        write ? features_.random_write_corrupt : features_.random_read_corrupt;
    if (rate != 0 && random_.below(FlakeyFeatures::always) < rate) {
        const std::uint64_t at = random_.below(iter.bytes);
        set_byte(at, static_cast<std::uint8_t>(random_.below(256)));
    }
    if (spoiled) ++faults_[Fault::corrupt];
}

/// dm has whole seconds only: shorter times read as the next whole second there.
std::string interval_text(milliseconds time, TextForm form) {
    if (form == TextForm::full && time.count() % 1000 != 0) {
        return std::to_string(time.count()) + "ms";
    }
    return std::to_string((time.count() + 999) / 1000);
}

std::string Flakey::table_text(TextForm form) const {
    return lower_->device->name() + ' ' + std::to_string(start_) + ' ' + interval_text(up_, form) +
           ' ' + interval_text(down_, form) + ' ' + features_.text();
}

std::string Flakey::state_text() const {
    const milliseconds now = phase();
    const bool is_down = now >= up_;
    const bool for_ever = up_.count() == 0 || down_.count() == 0;
    const std::string word = is_down ? "down" : "up";
    if (for_ever) return "always " + word;
    const auto left = static_cast<double>((is_down ? up_ + down_ - now : up_ - now).count());
    char text[32];
    std::snprintf(text, sizeof text, "%s, %.1fs left", word.c_str(), left / 1000);
    return text;
}

constexpr std::string_view corrupt_values[] = {"nth", "dir", "value", "flags"};
constexpr FeatureSpec feature_specs[] = {
    {"error_reads", {}},
    {"drop_writes", {}},
    {"error_writes", {}},
    {"corrupt_bio_byte", corrupt_values},
    {"random_read_corrupt", {}, true},
    {"random_write_corrupt", {}, true},
};
constexpr ArgSpec arg_specs[] = {
    {"device", ArgSpec::Kind::device},
    {"offset", ArgSpec::Kind::sectors, "0"},
    {"up", ArgSpec::Kind::seconds},
    {"down", ArgSpec::Kind::seconds},
    {"features", ArgSpec::Kind::features, "0"},
};

}  // namespace

extern const TargetType flakey_target;
const TargetType flakey_target = {
    .name = "flakey",
    .version = "1.5.0",
    .summary = "works for a while, then misbehaves for a while",
    .args = arg_specs,
    .features = feature_specs,
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Flakey>(args);
    },
};

}  // namespace dmcore
