#include "dmcore/shared_bytes.h"

#include <sys/mman.h>

#include <bit>
#include <cstring>
#include <mutex>
#include <new>

namespace dmcore {
namespace {

constexpr std::size_t slab_bytes = 2 << 20;
constexpr std::size_t slab_distance = 2 * slab_bytes;  // What describes a slab lies behind it.
constexpr unsigned per_slab = slab_bytes / SharedBytes::size;
constexpr std::uint32_t all_free = UINT32_MAX;
static_assert(per_slab == 32 && SharedBytes::run_max == per_slab);

constexpr std::size_t empty_slabs_max = 8;  // Kept: to get one anew takes as long as to fill it.
constexpr unsigned slabs_searched = 8;      // For a run; then there will be a new slab...
constexpr std::size_t free_spared = 1024;   // ...unless so many places are free, and a quarter.

/// Aligned to its own size; only what is touched costs memory.
void* map_slab() noexcept {
    constexpr int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* const mapped = ::mmap(nullptr, 2 * slab_distance, PROT_READ | PROT_WRITE, kind, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<std::byte*>(mapped);
    const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % slab_distance;
    if (before != 0) ::munmap(begin, before);
    ::munmap(begin + before + slab_distance, slab_distance - before);
    ::madvise(begin + before, slab_bytes, MADV_HUGEPAGE);  // If it may; it works without.
    return begin + before;
}

/// The begin of the slab that holds the address, or describes it.
std::byte* slab_begin(const void* address) noexcept {
    const auto number = reinterpret_cast<std::uintptr_t>(address);
    return reinterpret_cast<std::byte*>(number - number % slab_distance);
}

/// Those places of `free` behind which at least `count` - 1 more are free, as bits.
std::uint32_t runs_of(std::uint32_t free, unsigned count) noexcept {
    for (unsigned i = 1; i < count; ++i) free &= free >> 1;
    return free;
}

}  // namespace

struct SharedBytes::Slab {
    SharedBytes all[per_slab];
    std::uint32_t free = all_free;   // As bits...
    std::uint32_t clean = all_free;  // ...and those that nobody has had, which are still zero.
    Slab* previous = nullptr;        // Of those with room.
    Slab* following = nullptr;

    std::byte* data() noexcept { return slab_begin(this); }
};

/// All slabs of this process. Taken up where a block is written for the first time, or is lent.
class SharedBytes::Slabs {
  public:
    static Slabs& instance() {
        static Slabs slabs;
        return slabs;
    }

    /// Null: no memory. `clean`: is it known to be zero?
    SharedBytes* take(bool& clean) noexcept {
        const std::lock_guard lock(mutex_);
        if (first_ == nullptr && !add()) return nullptr;
        Slab& slab = *first_;
        const auto index = static_cast<unsigned>(std::countr_zero(slab.free));
        clean = (slab.clean >> index & 1) != 0;
        take_from(slab, index, 1);
        return &slab.all[index];
    }

    SharedBytes* take_run(unsigned count) noexcept {
        const std::lock_guard lock(mutex_);
        Slab* slab = first_;
        for (unsigned i = 0; slab != nullptr && runs_of(slab->free, count) == 0; ++i) {
            slab = i < slabs_searched ? slab->following : nullptr;
        }
        if (slab == nullptr) {
            if (free_ > free_spared && free_ > taken_ / 4) return nullptr;
            if (!add()) return nullptr;
            slab = first_;
        }
        const auto index = static_cast<unsigned>(std::countr_zero(runs_of(slab->free, count)));
        take_from(*slab, index, count);
        return &slab->all[index];
    }

    void give(const SharedBytes& bytes) noexcept {
        const std::lock_guard lock(mutex_);
        Slab& slab = bytes.slab();
        if (slab.free == 0) link(slab);
        slab.free |= 1U << bytes.index();
        ++free_;
        --taken_;
        if (slab.free != all_free || ++empty_slabs_ <= empty_slabs_max) return;
        --empty_slabs_;
        unlink(slab);
        free_ -= per_slab;
        ::munmap(slab.data(), slab_distance);
    }

  private:
    void take_from(Slab& slab, unsigned index, unsigned count) noexcept {
        const std::uint32_t bits = (all_free >> (per_slab - count)) << index;
        if (slab.free == all_free) --empty_slabs_;
        slab.free &= ~bits;
        slab.clean &= ~bits;
        free_ -= count;
        taken_ += count;
        if (slab.free == 0) unlink(slab);
        for (unsigned i = 0; i < count; ++i) {
            slab.all[index + i].holders_.store(1, std::memory_order_relaxed);
        }
    }
    bool add() noexcept {
        void* const memory = map_slab();
        if (memory == nullptr) return false;
        link(*new (static_cast<std::byte*>(memory) + slab_bytes) Slab);
        free_ += per_slab;
        ++empty_slabs_;
        return true;
    }
    void link(Slab& slab) noexcept {
        slab.following = first_;
        if (first_ != nullptr) first_->previous = &slab;
        first_ = &slab;
    }
    void unlink(Slab& slab) noexcept {
        if (slab.following != nullptr) slab.following->previous = slab.previous;
        (slab.previous == nullptr ? first_ : slab.previous->following) = slab.following;
        slab.previous = slab.following = nullptr;
    }

    std::mutex mutex_;
    Slab* first_ = nullptr;  // Of those with room.
    std::size_t free_ = 0;   // Places in them...
    std::size_t taken_ = 0;  // ...and all others.
    std::size_t empty_slabs_ = 0;
};

SharedBytes* SharedBytes::make() noexcept {
    bool clean = false;
    SharedBytes* const made = Slabs::instance().take(clean);
    if (made != nullptr && !clean) std::memset(made->data(), 0, size);
    return made;
}

SharedBytes* SharedBytes::copy() const noexcept {
    bool clean = false;
    SharedBytes* const made = Slabs::instance().take(clean);
    if (made != nullptr) std::memcpy(made->data(), data(), size);
    return made;
}

std::byte* SharedBytes::make_run(unsigned count) noexcept {
    SharedBytes* const first = Slabs::instance().take_run(count);
    return first == nullptr ? nullptr : first->data();
}

SharedBytes& SharedBytes::at(std::byte* data) noexcept {
    std::byte* const begin = slab_begin(data);
    auto& slab = *reinterpret_cast<Slab*>(begin + slab_bytes);
    return slab.all[static_cast<std::size_t>(data - begin) / size];
}

void SharedBytes::drop() noexcept {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) Slabs::instance().give(*this);
}

SharedBytes::Slab& SharedBytes::slab() const noexcept {
    return *reinterpret_cast<Slab*>(slab_begin(this) + slab_bytes);
}

unsigned SharedBytes::index() const noexcept {
    return static_cast<unsigned>(this - slab().all);
}

std::byte* SharedBytes::data() const noexcept {
    return slab_begin(this) + index() * size;
}

}  // namespace dmcore
