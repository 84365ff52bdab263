#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

#include "dmcore/targets/log_writes_format.h"

/// Reads what log-writes wrote, ours or Linux's, and does it again (dm-semantics 7.8).
namespace server::replay {

/// Why a log can't be read or replayed; the text names the file.
struct ReplayError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A file that is open; closed with this. Calls block.
class File {
  public:
    /// Throws ReplayError.
    File(std::string path, bool writable);
    ~File();
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    const std::string& path() const noexcept { return path_; }
    /// Also of a block device.
    std::uint64_t size_bytes() const noexcept { return size_bytes_; }

    /// All of `to`. Throws ReplayError; the caller has looked that it lies within the file.
    void read(std::uint64_t at, std::span<std::byte> to) const;
    void write(std::uint64_t at, std::span<const std::byte> from);
    /// Makes the range read as zeroes, and gives its space back where that can be done.
    void zero(std::uint64_t at, std::uint64_t bytes);
    /// Makes durable what was written.
    void sync();

  private:
    [[noreturn]] void fail(const char* what) const;

    std::string path_;
    int descriptor_;
    std::uint64_t size_bytes_ = 0;
};

/// One entry; ranges in bytes.
struct Entry {
    std::uint64_t number = 0;  // From 0.
    std::uint64_t flags = 0;   // log_format::Flag
    std::uint64_t at = 0;      // On the device that was logged.
    std::uint64_t bytes = 0;
    std::uint64_t data_at = 0;  // In the log; there are data unless it is a discard.
    std::string mark;
};

/// Goes through the entries that the super of a log counts.
class LogReader {
  public:
    /// Throws ReplayError, also if this is no log or one of another version.
    explicit LogReader(const std::string& path);

    const File& file() const noexcept { return file_; }
    std::uint64_t entries() const noexcept { return super_.entries; }

    /// The next entry, none after the last. Throws ReplayError for one that is cut or makes no
    /// sense.
    std::optional<Entry> next();

  private:
    [[noreturn]] void fail(const std::string& what) const;

    File file_;
    dmcore::log_format::Super super_;
    std::uint64_t number_ = 0;
    std::uint64_t at_ = 0;
};

}  // namespace server::replay
