#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <memory>
#include <vector>

#include "dmcore/limits.h"
#include "dmcore/queue.h"

namespace dmcore {

/// Objects that are used again and again on one shard. Grows by slabs up to a bound and never
/// shrinks, so that nothing is allocated once it is warm.
template <class T>
class Pool {
  public:
    explicit Pool(std::size_t most) : most_(most) {}

    /// Null when all are in use. What it holds is what its last user left.
    T* take() noexcept {
        if (free_.empty() && !grow()) return nullptr;
        ++in_use_;
        return free_.pop();
    }

    void give(T& item) noexcept {
        assert(in_use_ > 0);
        --in_use_;
        free_.push_front(item);
    }

    bool exhausted() const noexcept { return in_use_ == most_; }
    std::size_t in_use() const noexcept { return in_use_; }

  private:
    bool grow() {
        const std::size_t count = std::min(limits::pool_slab, most_ - size_);
        if (count == 0) return false;
        slabs_.push_back(std::make_unique<T[]>(count));
        for (std::size_t i = 0; i < count; ++i) free_.push_back(slabs_.back()[i]);
        size_ += count;
        return true;
    }

    std::vector<std::unique_ptr<T[]>> slabs_;
    Queue<T> free_;
    std::size_t most_;
    std::size_t size_ = 0;
    std::size_t in_use_ = 0;
};

}  // namespace dmcore
