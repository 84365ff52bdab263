#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>

#include "dmcore/device.h"

namespace server {

/// A store that could not be opened: what and why, naming the store.
struct StoreError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Bytes in a file, shared by all shards. Calls block: they are for the store's own threads, but
/// for try_read(). Any thread.
class FileStore {
  public:
    struct Options {
        std::string path;
        std::uint64_t size_sectors = 0;
        bool create = false;
        bool punch = true;  // Give space back on discard; otherwise discards do nothing.
    };

    /// Opens, and creates or grows as asked; what was made is synced, with its folder, before this
    /// returns [O-5]. Takes an exclusive lock, so that nobody else serves the same file [O-11].
    /// Throws StoreError.
    FileStore(std::string name, const Options& options);
    ~FileStore();
    FileStore(const FileStore&) = delete;
    FileStore& operator=(const FileStore&) = delete;

    const std::string& name() const noexcept { return name_; }
    const dmcore::Limits& limits() const noexcept { return limits_; }

    /// Runs a whole bio and sets its failure; does not end it.
    void run(dmcore::Bio& bio) noexcept;

    /// Reads from the page cache if that needs no waiting. False: nothing is known, run() it.
    bool try_read(const dmcore::Bio& bio) noexcept;

    /// Makes all that was written before this call durable. After a failure never again: the kernel
    /// has forgotten what it could not write [O-3]. Calls at the same time share one fdatasync.
    bool sync() noexcept;

  private:
    class RangeGuard;

    void open(const Options& options);
    void lock(const Options& options) const;
    void prepare_size(const Options& options);
    [[noreturn]] void fail(const Options& options, const char* step) const;
    int transfer(const dmcore::Bio& bio) noexcept;
    int discard(const dmcore::Bio& bio) noexcept;
    int write_zeroes(const dmcore::Bio& bio) noexcept;
    int write_zero_bytes(std::uint64_t at, std::uint64_t bytes) noexcept;

    std::string name_;
    const char* where_;  // For failures.
    dmcore::Limits limits_;
    bool punch_;
    int fd_ = -1;

    /// A read and a write of the same 64 KiB never run at the same time [O-8]: file systems don't
    /// promise that by themselves. Blocks share guards.
    static constexpr std::size_t guard_count = 256;
    std::array<std::shared_mutex, guard_count> guards_;

    std::mutex sync_mutex_;  // Guards the rest.
    std::condition_variable sync_done_;
    std::uint64_t sync_wanted_ = 0;   // Number of the latest call.
    std::uint64_t sync_reached_ = 0;  // All up to this one are durable.
    bool syncing_ = false;
    bool sync_failed_ = false;
};

}  // namespace server
