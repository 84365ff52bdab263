#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "dmcore/device.h"
#include "dmcore/queue.h"
#include "server/stores/open_file.h"
#include "server/stores/pieces.h"

namespace server {

/// Bytes in a file, shared by all shards. Calls block: they are for the store's own threads, but
/// for try_read(). Any thread.
class FileStore {
  public:
    using Options = FileOptions;

    /// Opens the file, or goes on with one that is open. Throws StoreError.
    FileStore(std::string name, const FileOptions& options,
              std::shared_ptr<OpenFile> file = nullptr);

    const std::string& name() const noexcept { return name_; }
    const dmcore::Limits& limits() const noexcept { return limits_; }
    const std::shared_ptr<OpenFile>& file() const noexcept { return file_; }

    using Bios = dmcore::Queue<dmcore::Bio>;

    /// Moves from the front of `bios`, which is not empty, to `run` those that one call to the
    /// kernel can do: the first, and what goes on where the one before ends, up to 64.
    static void take_run(Bios& bios, Bios& run) noexcept;

    /// Runs whole bios, as take_run() gave them, and sets their failures; does not end them.
    void run(const Bios& bios) noexcept;

    /// Reads from the page cache if that needs no waiting. False: nothing is known, run() them.
    bool try_read(const Bios& bios) noexcept;

    /// The memory of a run, for one call to the kernel. False: one call can't do it.
    bool gather(const Bios& bios, Pieces& pieces) const noexcept;
    /// Holds the range of a run [O-8]. False: somebody holds part of it.
    bool guard(const Bios& bios, std::optional<RangeGuards::Hold>& hold) noexcept;

    /// Bios that failed.
    std::uint64_t errors() const noexcept { return errors_.load(std::memory_order_relaxed); }

    /// See OpenFile.
    bool sync() noexcept { return file_->sync(); }

  private:
    void run(dmcore::Bio& bio) noexcept;
    bool transfer_at_once(const Bios& bios, int flags) noexcept;
    int transfer(const dmcore::Bio& bio) noexcept;
    ssize_t transfer_some(dmcore::Op op, const dmcore::BioIter& iter,
                          const Pieces& pieces) noexcept;
    ssize_t transfer_copy(dmcore::Op op, const dmcore::BioIter& iter,
                          const dmcore::Segment* segments) noexcept;
    int run_guarded(const dmcore::Bio& bio) noexcept;
    int discard(const dmcore::Bio& bio) noexcept;
    int write_zeroes(const dmcore::Bio& bio) noexcept;
    void prefetch(const dmcore::Bio& bio) const noexcept;
    void survey(dmcore::Survey& survey) const noexcept;
    int write_zero_bytes(std::uint64_t at, std::uint64_t bytes) noexcept;

    std::string name_;
    const char* where_;  // For failures.
    dmcore::Limits limits_;
    bool punch_;
    std::atomic<std::uint64_t> errors_{0};
    std::shared_ptr<OpenFile> file_;
};

}  // namespace server
