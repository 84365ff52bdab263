#include "server/nbd/buffers.h"

#include <bit>
#include <cstdlib>

#include "dmcore/shared_bytes.h"
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

std::byte* Buffers::take_shared(std::size_t bytes) noexcept {
    using dmcore::SharedBytes;
    if (bytes % SharedBytes::size != 0 || bytes / SharedBytes::size > SharedBytes::run_max ||
        !fits(bytes)) {
        return nullptr;
    }
    std::byte* const data = SharedBytes::make_run(static_cast<unsigned>(bytes / SharedBytes::size));
    if (data != nullptr) used_bytes_ += class_bytes(class_of(bytes));
    return data;
}

void Buffers::give_shared(std::byte* data, std::size_t bytes) noexcept {
    used_bytes_ -= class_bytes(class_of(bytes));
    for (std::size_t at = 0; at < bytes; at += dmcore::SharedBytes::size) {
        dmcore::SharedBytes::at(data + at).drop();
    }
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
