#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include "server/stores/range_guards.h"

namespace server {

/// A store that could not be opened: what and why, naming the store.
struct StoreError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct FileOptions {
    std::string path;
    std::uint64_t size_sectors = 0;
    bool create = false;
    bool punch = true;    // Give space back on discard; otherwise discards do nothing.
    bool direct = false;  // Past the page cache.
};

/// What makes two paths the same file.
struct FileIdentity {
    dev_t device = 0;
    ino_t inode = 0;

    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// Nothing if there is no such file, or it can't be looked at.
std::optional<FileIdentity> identity_of(const std::string& path);

/// A file that is open and locked, with what has become of its syncs. A store of another name may
/// take it over while it stays open [O-11]. Any thread.
class OpenFile {
  public:
    /// Opens, and creates or grows as asked; what was made is synced, with its folder, before this
    /// returns [O-5]. Takes an exclusive lock, so that nobody else serves the same file [O-11].
    /// Throws StoreError, which names `store`.
    OpenFile(const std::string& store, const FileOptions& options);
    ~OpenFile();
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    int fd() const noexcept { return fd_; }
    const FileIdentity& identity() const noexcept { return identity_; }
    /// As file_identity() has it.
    const std::string& data_identity() const noexcept { return data_identity_; }
    /// What offsets, lengths and memory of direct I/O are multiples of; 0: it is not direct.
    std::uint32_t direct_bytes() const noexcept { return direct_bytes_; }
    /// Does its file system take space back, rather than write zeroes?
    bool zeroes_fast() const noexcept;
    /// Throws StoreError if the file is smaller than the store wants it, or open in another way.
    void require_fit(const std::string& store, const FileOptions& options) const;
    /// Removes the file again if this made it: nobody has used it.
    void remove_if_made() noexcept;

    /// Makes all that was written before this call durable. After a failure never again: the kernel
    /// has forgotten what it could not write [O-3]. Calls at the same time share one fdatasync.
    bool sync() noexcept;

    RangeGuards& guards() noexcept { return guards_; }

  private:
    void open(const std::string& store, const FileOptions& options);
    void lock(const std::string& store, const FileOptions& options) const;
    void grow(const std::string& store, const FileOptions& options) const;

    std::uint64_t size_bytes(const std::string& store, const FileOptions& options) const;
    void look_at_blocks(const std::string& store, const FileOptions& options);

    int fd_ = -1;
    std::uint32_t direct_bytes_ = 0;
    FileIdentity identity_;
    std::string data_identity_;
    std::string made_path_;  // Empty: the file was there.

    RangeGuards guards_;

    std::mutex sync_mutex_;  // Guards the rest.
    std::condition_variable sync_done_;
    std::uint64_t sync_wanted_ = 0;   // Number of the latest call.
    std::uint64_t sync_reached_ = 0;  // All up to this one are durable.
    bool syncing_ = false;
    bool sync_failed_ = false;
};

}  // namespace server
