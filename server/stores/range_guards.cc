#include "server/stores/range_guards.h"

#include <algorithm>

namespace server {
namespace {

constexpr std::uint64_t guarded_bytes = 64U << 10;

}  // namespace

RangeGuards::Hold::Hold(RangeGuards& guards, std::uint64_t at, std::uint64_t bytes,
                        bool exclusive) noexcept
    : guards_(guards), exclusive_(exclusive) {
    const std::uint64_t first = at / guarded_bytes;
    const std::uint64_t blocks = (at + bytes - 1) / guarded_bytes - first + 1;
    all_ = blocks >= guard_count;
    begin_ = static_cast<std::size_t>(first % guard_count);
    count_ = static_cast<std::size_t>(std::min<std::uint64_t>(blocks, guard_count));
}

RangeGuards::Hold::~Hold() {
    if (!held_) return;
    for_each(
        [&](std::shared_mutex& guard) { exclusive_ ? guard.unlock() : guard.unlock_shared(); });
}

void RangeGuards::Hold::lock() noexcept {
    for_each([&](std::shared_mutex& guard) { exclusive_ ? guard.lock() : guard.lock_shared(); });
    held_ = true;
}

bool RangeGuards::Hold::try_lock() noexcept {
    std::size_t taken = 0;
    held_ = true;
    for_each([&](std::shared_mutex& guard) {
        held_ = held_ && (exclusive_ ? guard.try_lock() : guard.try_lock_shared());
        if (held_) ++taken;
    });
    if (held_) return true;
    for_each([&](std::shared_mutex& guard) {
        if (taken == 0) return;
        --taken;
        exclusive_ ? guard.unlock() : guard.unlock_shared();
    });
    return false;
}

/// In ascending order, so that two ranges can't block each other.
template <class Visit>
void RangeGuards::Hold::for_each(Visit&& visit) {
    const std::size_t wrapped = begin_ + count_ > guard_count ? begin_ + count_ - guard_count : 0;
    const std::size_t begin = all_ ? 0 : begin_;
    for (std::size_t i = 0; i < (all_ ? 0 : wrapped); ++i) visit(guards_.all_[i]);
    for (std::size_t i = begin; i < std::min(begin + count_, guard_count); ++i) {
        visit(guards_.all_[i]);
    }
}

}  // namespace server
