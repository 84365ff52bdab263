#include "server/nbd/buffers.h"

#include <bit>
#include <cstdlib>

#include "server/limits.h"

namespace server::nbd {

Buffers::~Buffers() {
    for (auto& list : free_) {
        for (std::byte* data : list) std::free(data);
    }
}

unsigned Buffers::class_of(std::size_t bytes) noexcept {
    const auto bits = static_cast<unsigned>(std::bit_width(bytes - 1));
    return bits <= smallest_bits ? 0 : bits - smallest_bits;
}

std::byte* Buffers::take(std::size_t bytes) noexcept {
    const unsigned index = class_of(bytes);
    const std::size_t size = class_bytes(index);
    if (!fits(bytes)) return nullptr;
    std::byte* data = nullptr;
    if (free_[index].empty()) {
        data = static_cast<std::byte*>(std::aligned_alloc(4096, size));
        out_of_memory_ = data == nullptr && used_bytes_ != 0;
        if (data == nullptr) return nullptr;
    } else {
        data = free_[index].back();
        free_[index].pop_back();
        cached_bytes_ -= size;
    }
    used_bytes_ += size;
    return data;
}

void Buffers::give(std::byte* data, std::size_t bytes) noexcept {
    const unsigned index = class_of(bytes);
    const std::size_t size = class_bytes(index);
    used_bytes_ -= size;
    out_of_memory_ = false;
    if (cached_bytes_ + size > limits::cached_buffer_bytes) {
        std::free(data);
        return;
    }
    cached_bytes_ += size;
    free_[index].push_back(data);
}

}  // namespace server::nbd
