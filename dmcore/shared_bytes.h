#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace dmcore {

/// 64 KiB of a store that keeps its data in memory, so made that readers can hold them as well. Who
/// is not alone with them must not change them. Any thread.
///
/// They lie in slabs of 2 MiB, which the kernel backs with huge pages where it may: with small ones
/// random reads spend a tenth of their time on the way to the page. A slab goes back to the kernel
/// when nothing in it is held any more, but for a few.
class SharedBytes {
  public:
    static constexpr std::size_t size = 64 << 10;
    static constexpr unsigned run_max = 32;

    SharedBytes(const SharedBytes&) = delete;
    SharedBytes& operator=(const SharedBytes&) = delete;

    /// Zeroes, held by the caller. Null: no memory.
    static SharedBytes* make() noexcept;
    /// The same bytes once more, held by the caller. Null: no memory.
    SharedBytes* copy() const noexcept;

    /// `count` of them, up to run_max, whose data lies one behind the other: each is held by the
    /// caller, with any content. Returns the data of the first; null: there is no place for so many
    /// together.
    static std::byte* make_run(unsigned count) noexcept;
    /// The one whose data begins at `data`.
    static SharedBytes& at(std::byte* data) noexcept;

    std::byte* data() const noexcept;
    /// Does nobody but the caller hold it? Nobody can begin to meanwhile: the caller sees to that.
    bool alone() const noexcept { return holders_.load(std::memory_order_acquire) == 1; }
    void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
    /// After the last one it is free.
    void drop() noexcept;

  private:
    struct Slab;
    class Slabs;

    SharedBytes() = default;
    Slab& slab() const noexcept;
    unsigned index() const noexcept;

    std::atomic<std::uint32_t> holders_{0};
};

}  // namespace dmcore
