#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dmcore/bio.h"
#include "dmcore/targets/log_writes_format.h"

namespace dmcore {

/// One entry of a log from when its I/O was mapped until it is on the log.
struct LogEntry {
    explicit LogEntry(std::atomic<std::uint64_t>& copied_bytes) noexcept : copied(copied_bytes) {}
    ~LogEntry() { copied -= data.size(); }
    LogEntry(const LogEntry&) = delete;
    LogEntry& operator=(const LogEntry&) = delete;

    std::atomic<std::uint64_t>& copied;  // Of the WriteLog, which lives longer.
    log_format::Header header;
    std::string text;                               // Of a mark.
    std::vector<std::byte> data;                    // As it was when the write was mapped [LW-3].
    std::vector<std::unique_ptr<LogEntry>> before;  // What a flush took when it was issued [LW-4].
};
using LogEntries = std::vector<std::unique_ptr<LogEntry>>;

/// An entry that has got its place.
struct PlacedEntry {
    std::unique_ptr<LogEntry> entry;
    std::uint64_t number;  // In the log, from 0.
    std::uint64_t sector;  // Of its header, on the log device.
};
using PlacedEntries = std::vector<PlacedEntry>;

/// What all lanes of a log-writes row know of their log: which entry comes next, where it goes, and
/// what the super may say. Does no I/O: a lane writes what it is given here. Any thread.
///
/// The super never counts an entry that is not on the log, and is written by one lane at a time, so
/// an older count can't land on a newer one.
class WriteLog {
  public:
    /// `block_bytes`: of the data device; `log_sectors`: size of the log device.
    WriteLog(std::uint32_t block_bytes, std::uint64_t log_sectors) noexcept;

    std::uint32_t block_bytes() const noexcept { return block_bytes_; }
    bool enabled() const noexcept { return enabled_.load(std::memory_order_relaxed); }
    /// No entry follows any more [LW-10]. `why`, for a person, lives for ever; the first one stays.
    void stop(const char* why) noexcept;

    /// The entry for an I/O about to be issued; a flush takes what is unflushed [LW-4]. Throws
    /// std::bad_alloc. Null: it is not to be logged.
    std::unique_ptr<LogEntry> copy(const Bio& bio);

    /// Each of these returns what is to be written now. They throw std::bad_alloc.
    PlacedEntries ended(std::unique_ptr<LogEntry> entry);
    PlacedEntries mark(std::string_view text);
    /// One lane closes. The last one gets what is unflushed and the end mark [LW-9].
    PlacedEntries leave();
    /// One lane more writes to this log; before any I/O.
    void join() noexcept { ++lanes_; }

    void written(std::uint64_t number, bool well) noexcept;
    /// The count for a super that is to be written now. The caller then calls super_written(), and
    /// asks again.
    std::optional<std::uint64_t> next_super() noexcept;
    void super_written(bool well) noexcept;

    std::string status_text() const;
    std::string state_text() const;

  private:
    std::unique_ptr<LogEntry> make_mark(std::string_view text);
    void place(std::unique_ptr<LogEntry> entry, PlacedEntries& placed);
    void stop_locked(const char* why) noexcept;

    const std::uint32_t block_bytes_;
    const std::uint64_t block_sectors_;
    const std::uint64_t log_sectors_;
    std::atomic<bool> enabled_ = true;
    std::atomic<std::uint64_t> copied_bytes_ = 0;

    mutable std::mutex mutex_;  // For all that follows.
    const char* stopped_ = nullptr;
    unsigned lanes_ = 0;
    std::uint64_t next_sector_;
    std::uint64_t entries_ = 0;
    LogEntries unflushed_;                 // Completed since the last flush was issued.
    std::set<std::uint64_t> outstanding_;  // Numbers of entries that are not on the log (yet).
    std::deque<std::uint64_t> wanted_;     // Counts that a super is to say [LW-7], rising.
    bool super_in_flight_ = false;
};

}  // namespace dmcore
