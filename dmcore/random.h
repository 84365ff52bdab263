#pragma once

#include <cstdint>

namespace dmcore {

/// A small generator with a seed, so that every random choice can be repeated (splitmix64).
class Random {
  public:
    explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }

    /// Uniform in [0, bound); bound > 0. The bias of the modulo is below bound / 2^64.
    std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }

  private:
    std::uint64_t state_;
};

/// A seed of its own for stream (a, b) under `seed`.
inline std::uint64_t mixed_seed(std::uint64_t seed, std::uint64_t a, std::uint64_t b) noexcept {
    return Random(Random(Random(seed).next() ^ a).next() ^ b).next();
}

}  // namespace dmcore
