#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fuzz {

/// Makes choices of a fuzzer's bytes, front to back, so that what a small change of them does is
/// small as well. Behind their end all is zero.
class Input {
  public:
    explicit Input(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    bool empty() const { return rest_.empty(); }

    std::uint8_t byte() {
        if (rest_.empty()) return 0;
        const std::uint8_t first = rest_.front();
        rest_ = rest_.subspan(1);
        return first;
    }
    bool flag() { return (byte() & 1) != 0; }

    /// Of so many bytes, big-endian.
    std::uint64_t number(unsigned bytes) {
        std::uint64_t value = 0;
        while (bytes-- > 0) value = value << 8 | byte();
        return value;
    }
    /// 0 to `bound` - 1.
    std::uint64_t below(std::uint64_t bound) {
        unsigned bytes = 0;
        while (bytes < 8 && (bound - 1) >> (8 * bytes) != 0) ++bytes;
        return number(bytes) % bound;
    }
    /// Small, near a power of two, or any: where arithmetic breaks.
    std::uint64_t edge() {
        const std::uint8_t kind = byte();
        if (kind < 128) return kind % 33;
        const std::uint64_t power = std::uint64_t{1} << (kind & 63);
        if (kind < 192) return power + number(1) - 128;
        return number(8);
    }

    template <class T, std::size_t count>
    const T& pick(const T (&from)[count]) {
        return from[below(count)];
    }
    template <class T, std::size_t count>
    const T& pick(const std::array<T, count>& from) {
        return from[below(count)];
    }

    /// So many, or what is left.
    std::span<const std::uint8_t> bytes(std::size_t count) {
        const auto front = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(front.size());
        return front;
    }
    std::string text(std::size_t count) {
        const auto front = bytes(count);
        return {reinterpret_cast<const char*>(front.data()), front.size()};
    }
    /// Of 0 to 255 bytes.
    std::string text() { return text(byte()); }
    std::string rest() { return text(rest_.size()); }

  private:
    std::span<const std::uint8_t> rest_;
};

/// Printable, and in one piece: what may be shown on a terminal.
inline bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char letter) { return letter >= ' ' && letter <= '~'; });
}

}  // namespace fuzz
