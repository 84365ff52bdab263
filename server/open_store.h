#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/spec.h"
#include "dmcore/device.h"
#include "server/net/shards.h"
#include "server/stores/open_file.h"

namespace dmcore {
class MemoryStore;
}

namespace server {

class FileStore;
class FileThreads;

/// A store of a table file, open on every shard. Its making and its end may take their time.
class OpenStore {
  public:
    /// Opens it, or goes on with `file` that is open under another name [O-11]. Throws StoreError,
    /// and std::bad_alloc for memory that is not to be had.
    OpenStore(const config::StoreSpec& spec, Shards& shards, std::shared_ptr<FileThreads> threads,
              std::shared_ptr<OpenFile> file);
    OpenStore(const OpenStore&) = delete;
    OpenStore& operator=(const OpenStore&) = delete;

    const std::string& name() const noexcept { return name_; }
    /// Empty: its bytes are in memory only.
    const std::string& path() const noexcept { return path_; }
    const dmcore::Limits& limits() const noexcept { return fronts_.front()->limits(); }
    /// As one shard uses it.
    dmcore::BlockDevice& front(unsigned shard) const noexcept { return *fronts_[shard]; }
    /// Null: memory.
    std::shared_ptr<OpenFile> file() const noexcept;

    /// Is it what `spec` asks for? A file may be known by another path.
    bool serves(const config::StoreSpec& spec) const noexcept;

    /// I/O that it could not do since it was opened under this name.
    std::uint64_t errors() const noexcept;

    /// Makes durable what was written. True: memory, which has nothing to sync.
    bool sync() noexcept;

  private:
    const std::string name_;
    const std::string path_;
    const bool punch_;
    std::shared_ptr<FileStore> store_;             // Null: memory...
    std::shared_ptr<dmcore::MemoryStore> memory_;  // ...which is here; otherwise null.
    std::vector<std::unique_ptr<dmcore::BlockDevice>> fronts_;
};

}  // namespace server
