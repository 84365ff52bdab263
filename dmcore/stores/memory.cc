#include "dmcore/stores/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

namespace dmcore {
namespace {

constexpr std::size_t line_bytes = 64;  // Of a cache.

/// What was lent is copied soon, by the kernel into a socket, and is in no cache where reads are at
/// random. Once its first lines are on their way the processor fetches those behind them by itself.
void expect_to_be_read(const std::byte* lent) noexcept {
    constexpr std::size_t lines = 8;
    for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(lent + i * line_bytes);
}

/// A copy to where nothing is in the cache waits for line after line, and so does what follows it.
/// Asked for beforehand they come side by side. Of long copies the processor sees where they lead.
void expect_to_be_written(std::byte* place, std::size_t bytes) noexcept {
    constexpr std::size_t most = 4096;
    for (std::size_t i = 0; i < std::min(bytes, most); i += line_bytes) {
        __builtin_prefetch(place + i, 1);
    }
}

}  // namespace

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
    limits_.discard = limits_.fast_zero = true;
    // calloc leaves pages that nobody touches to the kernel, so a huge index is free as well.
    static_assert(std::is_trivially_destructible_v<Block>);
    blocks_ = static_cast<Block*>(std::calloc(block_count_, sizeof(Block)));
    if (blocks_ == nullptr && block_count_ != 0) throw std::bad_alloc();
}

MemoryStore::~MemoryStore() {
    for (std::uint64_t i = 0; i < block_count_; ++i) {
        if (SharedBytes* bytes = blocks_[i].bytes) bytes->drop();
    }
    std::free(blocks_);
}

/// A block that was never written is not even guarded, so that its place in the index stays
/// untouched.
void MemoryStore::read(Block& block, std::size_t at, std::byte* to, std::size_t bytes,
                       Loans* loans) noexcept {
    if (block.bytes.load(std::memory_order_acquire) != nullptr) {
        const Guard guard(block);
        if (SharedBytes* shared = block.bytes.load(std::memory_order_relaxed)) {
            std::byte* const data = shared->data() + at;
            const bool lent = loans != nullptr && bytes >= loan_bytes_min &&
                              block.reads_to_copy == 0 && loans->add(to, data, bytes, *shared);
            if (lent) return expect_to_be_read(data);
            if (block.reads_to_copy > 0) --block.reads_to_copy;
            std::memcpy(to, data, bytes);
            return;
        }
    }
    std::memset(to, 0, bytes);
}

/// The bytes of a guarded block, which nobody else holds: to be changed. Null: no memory.
SharedBytes* MemoryStore::own(Block& block) noexcept {
    SharedBytes* const old = block.bytes.load(std::memory_order_relaxed);
    if (old != nullptr && old->alone()) return old;
    SharedBytes* const fresh = old == nullptr ? SharedBytes::make() : old->copy();
    if (fresh == nullptr) return nullptr;
    if (old != nullptr) {
        old->drop();
        block.reads_to_copy = copied_reads;
    }
    block.bytes.store(fresh, std::memory_order_release);
    return fresh;
}

bool MemoryStore::write(Block& block, std::size_t at, const std::byte* from,
                        std::size_t bytes) noexcept {
    const Guard guard(block);
    SharedBytes* const own_bytes = own(block);
    if (own_bytes == nullptr) return false;
    std::byte* const place = own_bytes->data() + at;
    expect_to_be_written(place, bytes);
    std::memcpy(place, from, bytes);
    return true;
}

/// A whole block, from a writer who will not change it any more.
void MemoryStore::keep(Block& block, std::byte* given) noexcept {
    SharedBytes& bytes = SharedBytes::at(given);
    bytes.hold();
    const Guard guard(block);
    SharedBytes* const old = block.bytes.exchange(&bytes, std::memory_order_acq_rel);
    if (old != nullptr) old->drop();
}

bool MemoryStore::clear(Block& block, std::size_t at, std::size_t bytes) noexcept {
    if (block.bytes.load(std::memory_order_acquire) == nullptr) return true;
    const Guard guard(block);
    SharedBytes* const shared = block.bytes.load(std::memory_order_relaxed);
    if (shared == nullptr) return true;
    if (bytes == block_bytes) {
        block.bytes.store(nullptr, std::memory_order_release);
        shared->drop();
        return true;
    }
    SharedBytes* const own_bytes = own(block);
    if (own_bytes == nullptr) return false;
    std::memset(own_bytes->data() + at, 0, bytes);
    return true;
}

bool MemoryStore::move(const Bio& bio, std::uint64_t at, std::byte* data,
                       std::size_t bytes) noexcept {
    const Segment& segment = bio.segments[bio.iter.segment];
    const bool shared =
        segment.shared && data >= segment.data && data < segment.data + segment.bytes &&
        static_cast<std::size_t>(data - segment.data) % block_bytes == at % block_bytes;
    while (bytes > 0) {
        Block& block = blocks_[at / block_bytes];
        const auto offset = static_cast<std::size_t>(at % block_bytes);
        const std::size_t count = std::min(bytes, block_bytes - offset);
        if (bio.op == Op::read) {
            read(block, offset, data, count, bio.loans);
        } else if (shared && count == block_bytes) {
            keep(block, data);
        } else if (!write(block, offset, data, count)) {
            return false;
        }
        at += count;
        data += count;
        bytes -= count;
    }
    return true;
}

bool MemoryStore::zero(std::uint64_t at, std::uint64_t bytes) noexcept {
    while (bytes > 0) {
        const auto offset = static_cast<std::size_t>(at % block_bytes);
        const auto count =
            static_cast<std::size_t>(std::min<std::uint64_t>(bytes, block_bytes - offset));
        if (!clear(blocks_[at / block_bytes], offset, count)) return false;
        at += count;
        bytes -= count;
    }
    return true;
}

void MemoryStore::survey(Survey& survey) const noexcept {
    std::uint64_t at = survey.iter.sector * sector_bytes;
    const std::uint64_t end =
        std::min(at + survey.iter.bytes, (at / block_bytes + survey_blocks_max) * block_bytes);
    while (at < end) {
        const std::uint64_t next = std::min(end, (at / block_bytes + 1) * block_bytes);
        const bool empty =
            blocks_[at / block_bytes].bytes.load(std::memory_order_acquire) == nullptr;
        if (!survey.add({(next - at) / sector_bytes, empty, empty})) return;
        at = next;
    }
}

bool MemoryStore::run(Bio& bio) noexcept {
    std::uint64_t at = bio.iter.sector * sector_bytes;
    bool good = true;
    if (has_data(bio.op)) {
        for_each_piece(bio.iter, bio.segments, [&](std::byte* data, std::size_t bytes) {
            good = good && move(bio, at, data, bytes);
            at += bytes;
        });
    } else if (is_write_like(bio.op)) {
        good = zero(at, bio.iter.bytes);
    } else if (bio.op == Op::survey) {
        survey(static_cast<Survey&>(bio));
    }
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
