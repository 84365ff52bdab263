#include "dmcore/target.h"

namespace dmcore {
namespace {

/// Fails every read, write and discard with EIO and counts none of them (dm-semantics 7.4). A flush
/// has nothing to do here [L-24].
class Error final : public Target {
  public:
    explicit Error(const TargetArgs& args)
        : sectors_(args.sectors),
          label_(interned("error on '" + args.device_name + "'")),
          faults_(*args.faults) {
        // `<dev> <start>` gives its limits; any other number of arguments is ignored, as in dm.
        if (args.count() == 2) {
            start_ = args.number(1, "offset", table_start_max);
            lower_ = &args.device(0);
        }
        traits_ = {.discard_clones = 1, .promises_discard = true};
    }

    Mapped map(Clone& clone) noexcept override {
        ++faults_[Fault::error];
        clone.failure = {.status = Status::io_error, .injected = true, .where = label_};
        return Mapped::kill;
    }

    void each_area(const Area& area) const override {
        if (lower_ != nullptr) area(*lower_, start_, sectors_);
    }

    void locate(Place& place) const noexcept override { place.failing = true; }

  private:
    Lower* lower_ = nullptr;  // Null: without arguments.
    std::uint64_t start_ = 0;
    std::uint64_t sectors_;
    const char* label_;
    FaultCounts& faults_;
};

}  // namespace

extern const TargetType error_target;
const TargetType error_target = {
    .name = "error",
    .version = "1.7.0",
    .summary = "fails all I/O",
    .args = {},
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Error>(args);
    },
};

}  // namespace dmcore
