#include "dmcore/stores/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

namespace dmcore {

/// Holds one block for the length of a copy.
class MemoryStore::Guard {
  public:
    explicit Guard(Block& block) noexcept : busy_(block.busy) {
        while (busy_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
    }
    ~Guard() { busy_.store(false, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

  private:
    std::atomic<bool>& busy_;
};

MemoryStore::MemoryStore(std::string name, std::uint64_t size_sectors)
    : name_(std::move(name)),
      block_count_((size_sectors * sector_bytes + block_bytes - 1) / block_bytes) {
    limits_.size_sectors = size_sectors;
    limits_.discard = true;
    // calloc leaves pages that nobody touches to the kernel, so a huge index is free as well.
    static_assert(std::is_trivially_destructible_v<Block>);
    blocks_ = static_cast<Block*>(std::calloc(block_count_, sizeof(Block)));
    if (blocks_ == nullptr && block_count_ != 0) throw std::bad_alloc();
}

MemoryStore::~MemoryStore() {
    for (std::uint64_t i = 0; i < block_count_; ++i) std::free(blocks_[i].data);
    std::free(blocks_);
}

/// A block that was never written is not even guarded, so that its place in the index stays
/// untouched.
void MemoryStore::read(Block& block, std::size_t at, std::byte* to, std::size_t bytes) noexcept {
    if (block.data.load(std::memory_order_acquire) != nullptr) {
        const Guard guard(block);
        if (const std::byte* data = block.data.load(std::memory_order_relaxed)) {
            std::memcpy(to, data + at, bytes);
            return;
        }
    }
    std::memset(to, 0, bytes);
}

bool MemoryStore::write(Block& block, std::size_t at, const std::byte* from,
                        std::size_t bytes) noexcept {
    const Guard guard(block);
    std::byte* data = block.data.load(std::memory_order_relaxed);
    if (data == nullptr) {
        data = static_cast<std::byte*>(std::calloc(1, block_bytes));
        if (data == nullptr) return false;
        block.data.store(data, std::memory_order_release);
    }
    std::memcpy(data + at, from, bytes);
    return true;
}

void MemoryStore::clear(Block& block, std::size_t at, std::size_t bytes) noexcept {
    if (block.data.load(std::memory_order_acquire) == nullptr) return;
    const Guard guard(block);
    std::byte* data = block.data.load(std::memory_order_relaxed);
    if (data == nullptr) return;
    if (bytes == block_bytes) {
        block.data.store(nullptr, std::memory_order_release);
        std::free(data);
    } else {
        std::memset(data + at, 0, bytes);
    }
}

bool MemoryStore::move(Op op, std::uint64_t at, std::byte* data, std::size_t bytes) noexcept {
    while (bytes > 0) {
        Block& block = blocks_[at / block_bytes];
        const auto offset = static_cast<std::size_t>(at % block_bytes);
        const std::size_t count = std::min(bytes, block_bytes - offset);
        if (op == Op::read) {
            read(block, offset, data, count);
        } else if (!write(block, offset, data, count)) {
            return false;
        }
        at += count;
        data += count;
        bytes -= count;
    }
    return true;
}

void MemoryStore::zero(std::uint64_t at, std::uint64_t bytes) noexcept {
    while (bytes > 0) {
        const auto offset = static_cast<std::size_t>(at % block_bytes);
        const auto count =
            static_cast<std::size_t>(std::min<std::uint64_t>(bytes, block_bytes - offset));
        clear(blocks_[at / block_bytes], offset, count);
        at += count;
        bytes -= count;
    }
}

bool MemoryStore::run(const Bio& bio) noexcept {
    std::uint64_t at = bio.iter.sector * sector_bytes;
    if (bio.op == Op::discard || bio.op == Op::write_zeroes) {
        zero(at, bio.iter.bytes);
        return true;
    }
    bool good = true;
    if (!has_data(bio.op)) return good;
    for_each_piece(bio.iter, bio.segments, [&](std::byte* data, std::size_t bytes) {
        good = good && move(bio.op, at, data, bytes);
        at += bytes;
    });
    if (!good) errors_.fetch_add(1, std::memory_order_relaxed);
    return good;
}

void MemoryDevice::submit(Bio& bio) noexcept {
    if (store_->run(bio)) {
        bio.end();
        return;
    }
    const std::uint64_t at = bio.iter.sector;
    bio.fail(
        {.status = Status::no_memory, .where = interned("store '" + name() + "'"), .sector = at},
        at);
}

}  // namespace dmcore
