#include <cstring>

#include "dmcore/target.h"

namespace dmcore {
namespace {

/// Reads zeroes, forgets writes and discards (dm-semantics 7.5).
class Zero final : public Target {
  public:
    explicit Zero(const TargetArgs& args) {
        if (args.count() != 0) args.fail("argument-count", "zero takes no arguments", 0);
        traits_ = {.discard_clones = 1, .promises_discard = true};
    }

    Mapped map(Clone& clone) noexcept override {
        if (clone.op == Op::read) {
            for_each_piece(clone.iter, clone.segments,
                           [](std::byte* data, std::size_t bytes) { std::memset(data, 0, bytes); });
        }
        return Mapped::done;
    }

    void locate(Place& place) const noexcept override { place.zero = true; }
};

}  // namespace

extern const TargetType zero_target;
const TargetType zero_target = {
    .name = "zero",
    .version = "1.2.0",
    .summary = "reads zeroes, forgets writes",
    .args = {},
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Zero>(args);
    },
};

}  // namespace dmcore
