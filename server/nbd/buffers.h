#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/limits.h"

namespace server::nbd {

/// Memory for the data of requests on one shard, in power-of-two sizes, within a budget. Used on
/// its shard only.
class Buffers {
  public:
    /// Once `tight_bytes` of the budget are used, only small requests get more.
    Buffers(std::size_t budget_bytes, std::size_t tight_bytes)
        : budget_bytes_(budget_bytes), tight_bytes_(tight_bytes) {}
    ~Buffers();
    Buffers(const Buffers&) = delete;
    Buffers& operator=(const Buffers&) = delete;

    /// `bytes` > 0. Null when the budget is used up, or there is no memory: wait for a give(). Its
    /// content is undefined.
    std::byte* take(std::size_t bytes) noexcept;
    /// `bytes` as it was taken.
    void give(std::byte* data, std::size_t bytes) noexcept;
    /// The same, made of dmcore::SharedBytes, from a whole number of them on. Null also when there
    /// are not so many together.
    std::byte* take_shared(std::size_t bytes) noexcept;
    void give_shared(std::byte* data, std::size_t bytes) noexcept;

    /// Would take(bytes) stay within the budget?
    bool fits(std::size_t bytes) const noexcept {
        if (out_of_memory_ || (tight() && bytes > limits::small_request_bytes)) return false;
        return class_bytes(class_of(bytes)) <= budget_bytes_ - used_bytes_;
    }
    /// Those who hold some and let it lie are in the way of others.
    bool tight() const noexcept { return used_bytes_ >= tight_bytes_; }
    std::size_t used_bytes() const noexcept { return used_bytes_; }

  private:
    static constexpr unsigned smallest_bits = 12;
    static unsigned class_of(std::size_t bytes) noexcept;
    static std::size_t class_bytes(unsigned index) noexcept {
        return std::size_t{1} << (index + smallest_bits);
    }

    std::array<std::vector<std::byte*>, 64 - smallest_bits> free_;
    std::size_t budget_bytes_;
    std::size_t tight_bytes_;
    std::size_t used_bytes_ = 0;
    std::size_t cached_bytes_ = 0;
    bool out_of_memory_ = false;  // The host had none: until something is given back.
};

}  // namespace server::nbd
