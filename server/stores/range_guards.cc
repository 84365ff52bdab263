#include "server/stores/range_guards.h"

#include <algorithm>

namespace server {
namespace {

constexpr std::uint64_t guarded_bytes = 64U << 10;

}  // namespace

void RangeGuards::Guard::lock(bool exclusive) noexcept {
    while (!try_lock(exclusive)) {
        const std::int32_t readers = readers_.load(std::memory_order_relaxed);
        if (readers == written || (exclusive && readers > 0)) readers_.wait(readers);
    }
}

bool RangeGuards::Guard::try_lock(bool exclusive) noexcept {
    std::int32_t readers = readers_.load(std::memory_order_relaxed);
    for (;;) {
        if (readers == written || (exclusive && readers > 0)) return false;
        const std::int32_t next = exclusive ? written : readers + 1;
        if (readers_.compare_exchange_weak(readers, next, std::memory_order_acquire)) return true;
    }
}

void RangeGuards::Guard::unlock(bool exclusive) noexcept {
    if (exclusive) {
        readers_.store(0, std::memory_order_release);
    } else if (readers_.fetch_sub(1, std::memory_order_release) > 1) {
        return;  // Who waits, waits for the last reader.
    }
    readers_.notify_all();
}

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
    if (held_) for_each([this](Guard& guard) { guard.unlock(exclusive_); });
}

void RangeGuards::Hold::lock() noexcept {
    for_each([this](Guard& guard) { guard.lock(exclusive_); });
    held_ = true;
}

bool RangeGuards::Hold::try_lock() noexcept {
    std::size_t taken = 0;
    held_ = true;
    for_each([&](Guard& guard) {
        held_ = held_ && guard.try_lock(exclusive_);
        if (held_) ++taken;
    });
    if (held_) return true;
    for_each([&](Guard& guard) {
        if (taken == 0) return;
        --taken;
        guard.unlock(exclusive_);
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
