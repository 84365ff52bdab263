#include "dmcore/target.h"

namespace dmcore {
namespace {

/// One member of a striped device, made visible by itself (dm-semantics 7.9).
class Unstriped final : public Target {
  public:
    explicit Unstriped(const TargetArgs& args);

    Mapped map(Clone& clone) noexcept override;
    std::string table_text(TextForm form) const override;
    void each_area(const Area& area) const override { area(*lower_, start_, sectors_); }
    void locate(Place& place) const noexcept override;

  private:
    std::uint64_t place(std::uint64_t offset) const noexcept;

    std::uint64_t stripes_;
    std::uint64_t chunk_sectors_;
    std::uint64_t stripe_;
    Lower* lower_ = nullptr;
    std::uint64_t start_ = 0;
    std::uint64_t sectors_;
};

Unstriped::Unstriped(const TargetArgs& args) : sectors_(args.sectors) {
    if (args.count() != 5) {
        args.fail("argument-count",
                  "unstriped takes 5 arguments: stripes chunk stripe device offset");
    }
    stripes_ = args.number(0, "stripes", UINT32_MAX, Plus::allowed);
    chunk_sectors_ = args.number(1, "chunk", UINT32_MAX, Plus::allowed);
    stripe_ = args.number(2, "stripe", UINT32_MAX, Plus::allowed);
    if (stripes_ == 0) args.fail("bad-number", "stripes must be at least 1", 0);
    if (chunk_sectors_ == 0) args.fail("bad-number", "chunk must be at least 1 sector", 1);
    if (stripe_ > stripes_ && stripes_ > 1) {  // One too many is dm's: the first, a row later.
        args.fail("bad-number", "stripe counts from 0, and there are " + std::to_string(stripes_),
                  2);
    }
    start_ = args.number(4, "offset", table_start_max);
    if (sectors_ % chunk_sectors_ != 0) {
        args.fail("stripe-size", "length " + std::to_string(sectors_) +
                                     "s is not a multiple of chunk " +
                                     std::to_string(chunk_sectors_) + "s");
    }
    const std::uint64_t row_max = table_start_max / (stripes_ * chunk_sectors_);  // No sum wraps.
    if (sectors_ / chunk_sectors_ > row_max || stripe_ * chunk_sectors_ > table_start_max) {
        args.fail("too-long", "this member would end past the largest device");
    }
    lower_ = &args.device(3);
    traits_ = {.flush_clones = 1, .max_io_sectors = chunk_sectors_};  // Flushes go on [D-7].
}

/// The row counts from this target's first sector, as in Linux since early 2026.
std::uint64_t Unstriped::place(std::uint64_t offset) const noexcept {
    const std::uint64_t row = offset / chunk_sectors_;
    return start_ + offset + row * (stripes_ - 1) * chunk_sectors_ + stripe_ * chunk_sectors_;
}

/// dm checks less of the device than is used [T-9], so the end is looked for here.
Mapped Unstriped::map(Clone& clone) noexcept {
    clone.lower = lower_;
    if (clone.op == Op::flush) return Mapped::remapped;
    clone.iter.sector = place(clone.iter.sector);
    return clone.iter.end() <= lower_->limits.size_sectors ? Mapped::remapped : Mapped::error;
}

void Unstriped::locate(Place& at) const noexcept {
    const std::uint64_t sector = place(at.sector);
    shorten(at, chunk_sectors_ - at.sector % chunk_sectors_);
    if (sector + at.sectors > lower_->limits.size_sectors) {
        at.failing = true;
    } else {
        lead_to(at, *lower_, sector);
    }
}

std::string Unstriped::table_text(TextForm) const {
    return std::to_string(stripes_) + ' ' + std::to_string(chunk_sectors_) + ' ' +
           std::to_string(stripe_) + ' ' + lower_->device->name() + ' ' + std::to_string(start_);
}

constexpr ArgSpec arg_specs[] = {
    {"stripes", ArgSpec::Kind::count},       {"chunk", ArgSpec::Kind::sectors},
    {"stripe", ArgSpec::Kind::count},        {"device", ArgSpec::Kind::device},
    {"offset", ArgSpec::Kind::sectors, "0"},
};

}  // namespace

extern const TargetType unstriped_target;
const TargetType unstriped_target = {
    .name = "unstriped",
    .version = "1.1.0",
    .summary = "one member of a striped device by itself",
    .args = arg_specs,
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Unstriped>(args);
    },
};

}  // namespace dmcore
