#include "dmcore/target.h"

namespace dmcore {
namespace {

/// A range of one device, moved (dm-semantics 7.1).
class Linear final : public Target {
  public:
    explicit Linear(const TargetArgs& args) : sectors_(args.sectors) {
        if (args.count() != 2) {
            args.fail("argument-count", "linear takes 2 arguments: device offset");
        }
        start_ = args.number(1, "offset", table_start_max);
        lower_ = &args.device(0);
        traits_ = {
            .flush_clones = 1, .discard_clones = 1, .write_zeroes_clones = 1, .flush_bypass = true};
    }

    Mapped map(Clone& clone) noexcept override {
        clone.lower = lower_;
        if (clone.op != Op::flush) clone.iter.sector += start_;
        return Mapped::remapped;
    }

    std::string table_text(TextForm) const override {
        return lower_->device->name() + ' ' + std::to_string(start_);
    }

    void each_area(const Area& area) const override { area(*lower_, start_, sectors_); }
    void locate(Place& place) const noexcept override {
        lead_to(place, *lower_, start_ + place.sector);
    }

  private:
    Lower* lower_ = nullptr;
    std::uint64_t start_ = 0;
    std::uint64_t sectors_;
};

constexpr ArgSpec arg_specs[] = {
    {"device", ArgSpec::Kind::device},
    {"offset", ArgSpec::Kind::sectors, "0"},
};

}  // namespace

extern const TargetType linear_target;
const TargetType linear_target = {
    .name = "linear",
    .version = "1.4.0",
    .summary = "a range of one device",
    .args = arg_specs,
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Linear>(args);
    },
};

}  // namespace dmcore
