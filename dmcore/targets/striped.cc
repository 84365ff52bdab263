#include <atomic>

#include "dmcore/target.h"

namespace dmcore {
namespace {

/// Chunks dealt out over several devices in turn (dm-semantics 7.2).
class Striped final : public Target {
  public:
    explicit Striped(const TargetArgs& args);

    Mapped map(Clone& clone) noexcept override;
    void end_io(Clone& clone) noexcept override;
    std::string table_text(TextForm form) const override;
    std::string status_text() const override;
    void each_area(const Area& area) const override;
    void locate(Place& place) const noexcept override;
    void adjust_limits(Limits& limits) const override;

  private:
    struct Leg {
        Lower* lower;
        std::uint64_t start_sector;
    };
    struct LegSector {
        std::size_t leg;
        std::uint64_t sector;  // Of the leg, before its start is added.
    };
    /// Error counts of the legs, one for all lanes [O-9].
    using Errors = std::vector<std::atomic<std::uint32_t>>;

    std::string chunk_text() const;
    void check_shape(const TargetArgs& args) const;
    LegSector place(std::uint64_t sector) const noexcept;
    std::uint64_t edge(std::uint64_t sector, std::size_t leg) const noexcept;
    Mapped map_range(Clone& clone) noexcept;

    std::vector<Leg> legs_;
    std::uint64_t chunk_sectors_ = 0;
    std::uint64_t sectors_;
    std::shared_ptr<Errors> errors_;
};

Striped::Striped(const TargetArgs& args) : sectors_(args.sectors) {
    if (args.count() < 2) {
        args.fail("argument-count",
                  "striped takes stripes chunk and device offset for each stripe");
    }
    const std::uint64_t count = args.number(0, "stripes", UINT32_MAX, Plus::allowed);
    chunk_sectors_ = args.number(1, "chunk", UINT32_MAX, Plus::allowed);
    if (count == 0) args.fail("bad-number", "stripes must be at least 1", 0);
    if (chunk_sectors_ == 0) args.fail("bad-number", "chunk must be at least 1 sector", 1);
    if (args.count() != 2 + 2 * count) {
        args.fail("argument-count", std::to_string(count) + " stripes need " +
                                        std::to_string(count) + " times 'device offset'");
    }
    legs_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t start = args.number(3 + 2 * i, "offset", table_start_max);
        legs_.push_back({&args.device(2 + 2 * i), start});
    }
    check_shape(args);
    if (*args.shared == nullptr) *args.shared = std::make_shared<Errors>(count);
    errors_ = std::static_pointer_cast<Errors>(*args.shared);
    const auto clones = static_cast<std::uint32_t>(count);
    traits_ = {.flush_clones = clones,
               .discard_clones = clones,
               .write_zeroes_clones = clones,
               .flush_bypass = true,
               .sees_end = true,
               .max_io_sectors = chunk_sectors_};
}

/// As a table file would have it.
std::string Striped::chunk_text() const {
    return chunk_sectors_ % 2 == 0 ? std::to_string(chunk_sectors_ / 2) + "KiB"
                                   : std::to_string(chunk_sectors_) + "s";
}

void Striped::check_shape(const TargetArgs& args) const {
    const std::uint64_t row = legs_.size() * chunk_sectors_;
    if (sectors_ % row == 0) return;
    const std::uint64_t below = sectors_ / row * row;
    const std::string fits =
        below == 0 ? std::to_string(row) + "s is"
                   : std::to_string(below) + "s and " + std::to_string(below + row) + "s are";
    args.fail("stripe-size", "length " + std::to_string(sectors_) + "s is not a multiple of " +
                                 std::to_string(legs_.size()) + " stripes x chunk " + chunk_text() +
                                 " (" + std::to_string(row) + "s); " + fits);
}

Striped::LegSector Striped::place(std::uint64_t sector) const noexcept {
    const std::uint64_t chunk = sector / chunk_sectors_;
    return {static_cast<std::size_t>(chunk % legs_.size()),
            chunk / legs_.size() * chunk_sectors_ + sector % chunk_sectors_};
}

/// Where a range that begins or ends at `sector` begins or ends on one leg.
std::uint64_t Striped::edge(std::uint64_t sector, std::size_t leg) const noexcept {
    const LegSector at = place(sector);
    if (at.leg == leg) return at.sector;
    const std::uint64_t chunk_start = at.sector - at.sector % chunk_sectors_;
    return leg < at.leg ? chunk_start + chunk_sectors_ : chunk_start;
}

/// Clone number k of a discard or write_zeroes takes what lies on leg k.
Mapped Striped::map_range(Clone& clone) noexcept {
    const std::size_t leg = clone.number;
    const std::uint64_t begin = edge(clone.iter.sector, leg);
    const std::uint64_t end = edge(clone.iter.end(), leg);
    if (begin >= end) return Mapped::done;
    clone.lower = legs_[leg].lower;
    clone.iter.sector = legs_[leg].start_sector + begin;
    clone.iter.bytes = (end - begin) * sector_bytes;
    clone.tag = clone.number;
    return Mapped::remapped;
}

Mapped Striped::map(Clone& clone) noexcept {
    if (clone.op == Op::flush) {
        clone.lower = legs_[clone.number].lower;
        clone.tag = clone.number;
        return Mapped::remapped;
    }
    if (!has_data(clone.op)) return map_range(clone);
    const LegSector at = place(clone.iter.sector);
    clone.lower = legs_[at.leg].lower;
    clone.iter.sector = legs_[at.leg].start_sector + at.sector;
    clone.tag = static_cast<std::uint32_t>(at.leg);
    return Mapped::remapped;
}

void Striped::end_io(Clone& clone) noexcept {
    const Status status = clone.failure.status;
    if (status == Status::ok || status == Status::not_supported || status == Status::requeue)
        return;
    for (std::size_t i = 0; i < legs_.size(); ++i) {
        if (legs_[i].lower == legs_[clone.tag].lower) (*errors_)[i].fetch_add(1);
    }
}

std::string Striped::table_text(TextForm) const {
    std::string text = std::to_string(legs_.size()) + ' ' + std::to_string(chunk_sectors_);
    for (const Leg& leg : legs_) {
        text += ' ' + leg.lower->device->name() + ' ' + std::to_string(leg.start_sector);
    }
    return text;
}

std::string Striped::status_text() const {
    std::string text = std::to_string(legs_.size());
    for (const Leg& leg : legs_) text += ' ' + leg.lower->device->name();
    text += " 1 ";
    for (const auto& count : *errors_) text += count.load() == 0 ? 'A' : 'D';
    return text;
}

void Striped::each_area(const Area& area) const {
    for (const Leg& leg : legs_) area(*leg.lower, leg.start_sector, sectors_ / legs_.size());
}

void Striped::locate(Place& place) const noexcept {
    const LegSector at = this->place(place.sector);
    shorten(place, chunk_sectors_ - place.sector % chunk_sectors_);
    lead_to(place, *legs_[at.leg].lower, legs_[at.leg].start_sector + at.sector);
}

void Striped::adjust_limits(Limits& limits) const {
    const std::uint64_t min_bytes = chunk_sectors_ * sector_bytes;
    const std::uint64_t opt_bytes = min_bytes * legs_.size();
    if (min_bytes <= UINT32_MAX) limits.io_min_bytes = static_cast<std::uint32_t>(min_bytes);
    if (opt_bytes <= UINT32_MAX) limits.io_opt_bytes = static_cast<std::uint32_t>(opt_bytes);
}

constexpr ArgSpec arg_specs[] = {
    {"stripes", ArgSpec::Kind::devices_count},
    {"chunk", ArgSpec::Kind::sectors},
    {"devices", ArgSpec::Kind::devices},
};

}  // namespace

extern const TargetType striped_target;
const TargetType striped_target = {
    .name = "striped",
    .version = "1.6.0",
    .summary = "chunks dealt out over several devices",
    .args = arg_specs,
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Striped>(args);
    },
};

}  // namespace dmcore
