#include "dmcore/targets/log_writes_log.h"

#include <utility>

#include "dmcore/limits.h"

namespace dmcore {

namespace lf = log_format;

WriteLog::WriteLog(std::uint32_t block_bytes, std::uint64_t log_sectors) noexcept
    : block_bytes_(block_bytes),
      block_sectors_(block_bytes / sector_bytes),
      log_sectors_(log_sectors),
      next_sector_(block_sectors_) {}

void WriteLog::stop(const char* why) noexcept {
    const std::lock_guard lock(mutex_);
    stop_locked(why);
}

void WriteLog::stop_locked(const char* why) noexcept {
    if (stopped_ == nullptr) stopped_ = why;
    enabled_.store(false, std::memory_order_relaxed);
    unflushed_.clear();
}

std::unique_ptr<LogEntry> WriteLog::copy(const Bio& bio) {
    auto entry = std::make_unique<LogEntry>(copied_bytes_);
    if (bio.op == Op::flush) {
        entry->header.flags = lf::flush;
        const std::lock_guard lock(mutex_);
        entry->before.swap(unflushed_);
        return entry;
    }
    entry->header.block = bio.iter.sector / block_sectors_;
    entry->header.blocks = bio.iter.sectors() / block_sectors_;
    if (bio.op == Op::discard) entry->header.flags |= lf::discard;
    if (bio.fua) entry->header.flags |= lf::fua;
    if (bio.op != Op::write) return entry;
    if (copied_bytes_ + bio.iter.bytes > limits::log_writes_bytes_max) {
        stop("too much was written without a flush");
        return nullptr;
    }
    entry->data.reserve(bio.iter.bytes);
    for_each_piece(bio.iter, bio.segments, [&](const std::byte* from, std::size_t bytes) {
        entry->data.insert(entry->data.end(), from, from + bytes);
    });
    copied_bytes_ += entry->data.size();
    return entry;
}

/// How the I/O ended makes no difference [LW-6].
PlacedEntries WriteLog::ended(std::unique_ptr<LogEntry> entry) {
    PlacedEntries placed;
    const std::lock_guard lock(mutex_);
    if (!enabled()) return placed;
    if ((entry->header.flags & (lf::flush | lf::fua)) == 0) {
        unflushed_.push_back(std::move(entry));
        return placed;
    }
    for (auto& each : std::exchange(entry->before, {})) place(std::move(each), placed);
    place(std::move(entry), placed);
    return placed;
}

std::unique_ptr<LogEntry> WriteLog::make_mark(std::string_view text) {
    auto entry = std::make_unique<LogEntry>(copied_bytes_);
    entry->text = text.substr(0, block_bytes_ - lf::header_bytes - 1);  // [LW-8]
    entry->header.flags = lf::mark;
    entry->header.text_bytes = entry->text.size();
    return entry;
}

PlacedEntries WriteLog::mark(std::string_view text) {
    PlacedEntries placed;
    const std::lock_guard lock(mutex_);
    place(make_mark(text), placed);
    return placed;
}

PlacedEntries WriteLog::leave() {
    PlacedEntries placed;
    const std::lock_guard lock(mutex_);
    if (--lanes_ > 0) return placed;
    for (auto& each : std::exchange(unflushed_, {})) place(std::move(each), placed);
    place(make_mark("dm-log-writes-end"), placed);
    return placed;
}

void WriteLog::place(std::unique_ptr<LogEntry> entry, PlacedEntries& placed) {
    if (!enabled()) return;
    const std::uint64_t sector = next_sector_;
    next_sector_ += (1 + entry->header.data_blocks()) * block_sectors_;
    if (next_sector_ >= log_sectors_) {  // Linux, too, leaves the last sector unused.
        stop_locked("the log is full");
        return;
    }
    const bool tells = (entry->header.flags & (lf::fua | lf::mark)) != 0;
    outstanding_.insert(entries_);
    placed.push_back({std::move(entry), entries_, sector});
    ++entries_;
    if (tells) wanted_.push_back(entries_);
}

void WriteLog::written(std::uint64_t number, bool well) noexcept {
    const std::lock_guard lock(mutex_);
    if (well) {
        outstanding_.erase(number);
    } else {
        stop_locked("the log device failed");
    }
}

std::optional<std::uint64_t> WriteLog::next_super() noexcept {
    const std::lock_guard lock(mutex_);
    if (super_in_flight_) return {};
    const std::uint64_t whole = outstanding_.empty() ? entries_ : *outstanding_.begin();
    std::optional<std::uint64_t> count;
    for (; !wanted_.empty() && wanted_.front() <= whole; wanted_.pop_front()) {
        count = wanted_.front();
    }
    super_in_flight_ = count.has_value();
    return count;
}

void WriteLog::super_written(bool well) noexcept {
    const std::lock_guard lock(mutex_);
    super_in_flight_ = false;
    if (!well) stop_locked("the log device failed");
}

std::string WriteLog::status_text() const {
    const std::lock_guard lock(mutex_);
    return std::to_string(entries_) + ' ' + std::to_string(next_sector_ - 1) +
           (enabled() ? "" : " logging_disabled");
}

std::string WriteLog::state_text() const {
    const std::lock_guard lock(mutex_);
    const std::string entries = std::to_string(entries_) + " entries";
    return stopped_ == nullptr ? entries : entries + ", logging stopped: " + stopped_;
}

}  // namespace dmcore
