#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

/// Latencies in nanoseconds, each kept to within 1/32 of itself.
class Histogram {
  public:
    void add(std::uint64_t ns) noexcept { ++counts_[slot_of(ns)]; }

    /// The latency that a share `rank` (0 to 1) of all stayed below; 0 if there are none.
    std::uint64_t percentile(double rank) const noexcept {
        std::uint64_t total = 0;
        for (const std::uint64_t count : counts_) total += count;
        const auto wanted = static_cast<std::uint64_t>(rank * static_cast<double>(total));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen > wanted) return least_of(i);
        }
        return 0;
    }

  private:
    static constexpr unsigned step_bits = 5;
    static constexpr std::size_t steps = std::size_t{1} << step_bits;

    static std::size_t slot_of(std::uint64_t ns) noexcept {
        if (ns < steps) return ns;
        const auto shift = static_cast<unsigned>(std::bit_width(ns)) - step_bits - 1;
        return shift * steps + (ns >> shift);
    }
    static std::uint64_t least_of(std::size_t slot) noexcept {
        if (slot < 2 * steps) return slot;
        const std::size_t shift = slot / steps - 1;
        return (slot - shift * steps) << shift;
    }

    std::array<std::uint64_t, (64 - step_bits + 1) * steps> counts_{};
};

}  // namespace bench
