#include "dmcore/shared_bytes.h"

#include <sys/mman.h>

#include <bit>
#include <cstring>
#include <mutex>
#include <new>

namespace dmcore {
namespace {

constexpr std::size_t slab_bytes = 2 << 20;
constexpr unsigned per_slab = slab_bytes / SharedBytes::size - 1;  // The first one is the head.
constexpr std::uint32_t all_free = (1U << per_slab) - 1;

void* map_aligned() noexcept {
    constexpr int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* const mapped = ::mmap(nullptr, 2 * slab_bytes, PROT_READ | PROT_WRITE, kind, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<std::byte*>(mapped);
    const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % slab_bytes;
    if (before != 0) ::munmap(begin, before);
    ::munmap(begin + before + slab_bytes, slab_bytes - before);
    ::madvise(begin + before, slab_bytes, MADV_HUGEPAGE);  // If it may; it works without.
    return begin + before;
}

}  // namespace

struct SharedBytes::Slab {
    SharedBytes all[per_slab];
    std::uint32_t free = all_free;   // As bits...
    std::uint32_t clean = all_free;  // ...and those that nobody has had, which are still zero.
    Slab* previous = nullptr;        // Of those with room.
    Slab* following = nullptr;
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
        const std::uint32_t bit = 1U << index;
        clean = (slab.clean & bit) != 0;
        slab.free &= ~bit;
        slab.clean &= ~bit;
        if (slab.free == 0) unlink(slab);
        slab.all[index].holders_.store(1, std::memory_order_relaxed);
        return &slab.all[index];
    }

    /// Keeps the last slab that has room: the next write would only want it back.
    void give(const SharedBytes& bytes) noexcept {
        const std::lock_guard lock(mutex_);
        Slab& slab = bytes.slab();
        if (slab.free == 0) link(slab);
        slab.free |= 1U << bytes.index();
        const bool last = slab.previous == nullptr && slab.following == nullptr;
        if (slab.free != all_free || last) return;
        unlink(slab);
        ::munmap(&slab, slab_bytes);
    }

  private:
    bool add() noexcept {
        void* const memory = map_aligned();
        if (memory == nullptr) return false;
        link(*new (memory) Slab);
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

void SharedBytes::drop() noexcept {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) Slabs::instance().give(*this);
}

SharedBytes::Slab& SharedBytes::slab() const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(this);
    return *reinterpret_cast<Slab*>(address - address % slab_bytes);
}

unsigned SharedBytes::index() const noexcept {
    return static_cast<unsigned>(this - slab().all);
}

std::byte* SharedBytes::data() const noexcept {
    static_assert(sizeof(Slab) <= size);
    return reinterpret_cast<std::byte*>(&slab()) + (index() + 1) * size;
}

}  // namespace dmcore
