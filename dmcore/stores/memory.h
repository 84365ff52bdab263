#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "dmcore/device.h"
#include "dmcore/loan.h"

namespace dmcore {

/// Bytes in memory, shared by all shards. Memory that was never written costs nothing. Reads and
/// writes are guarded by blocks of 64 KiB, so a sector read is one write's, never a mix [O-8].
///
/// What is written in whole SharedBytes is kept, not copied. Reads are lent the bytes if they take
/// loans. A write to a block that is lent copies it; after
/// that, reads of the block are not lent it for a while, for where both go on, loans cost more than
/// they save.
class MemoryStore {
  public:
    static constexpr std::size_t block_bytes = SharedBytes::size;
    static constexpr std::size_t loan_bytes_min = 2048;          // Below that a copy is cheaper.
    static constexpr std::uint8_t copied_reads = 64;             // Before a block is lent again.
    static constexpr std::uint64_t survey_blocks_max = 1 << 14;  // Looked at by one survey.

    /// Throws std::bad_alloc if even the index does not fit.
    MemoryStore(std::string name, std::uint64_t size_sectors);
    ~MemoryStore();
    MemoryStore(const MemoryStore&) = delete;
    MemoryStore& operator=(const MemoryStore&) = delete;

    const std::string& name() const noexcept { return name_; }
    const Limits& limits() const noexcept { return limits_; }

    /// Runs a whole bio now. Any thread. False: no memory for a write; part of it may have
    /// happened.
    bool run(Bio& bio) noexcept;
    /// Bios that failed.
    std::uint64_t errors() const noexcept { return errors_.load(std::memory_order_relaxed); }

  private:
    struct Block {
        std::atomic<bool> busy;           // Who holds it may change the rest, and the bytes.
        std::uint8_t reads_to_copy;       // The next reads are not lent it.
        std::atomic<SharedBytes*> bytes;  // Null: all zero.
    };
    class Guard;

    static void read(Block& block, std::size_t at, std::byte* to, std::size_t bytes,
                     Loans* loans) noexcept;
    static bool write(Block& block, std::size_t at, const std::byte* from,
                      std::size_t bytes) noexcept;
    static void keep(Block& block, std::byte* given) noexcept;
    static bool clear(Block& block, std::size_t at, std::size_t bytes) noexcept;
    static SharedBytes* own(Block& block) noexcept;
    bool zero(std::uint64_t at, std::uint64_t bytes) noexcept;
    void survey(Survey& survey) const noexcept;
    bool move(const Bio& bio, std::uint64_t at, std::byte* data, std::size_t bytes) noexcept;

    std::string name_;
    Limits limits_;
    Block* blocks_;
    std::uint64_t block_count_;
    std::atomic<std::uint64_t> errors_{0};
};

/// A memory store as one shard sees it. Ends every bio at once.
class MemoryDevice final : public BlockDevice {
  public:
    explicit MemoryDevice(std::shared_ptr<MemoryStore> store, std::string identity = {})
        : store_(std::move(store)), identity_(std::move(identity)) {}

    void submit(Bio& bio) noexcept override;
    const Limits& limits() const noexcept override { return store_->limits(); }
    const std::string& name() const noexcept override { return store_->name(); }
    std::string identity() const override { return identity_; }

  private:
    std::shared_ptr<MemoryStore> store_;
    std::string identity_;
};

}  // namespace dmcore
