#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/spec.h"
#include "dmcore/device.h"
#include "server/net/shards.h"
#include "server/stores/open_file.h"
#include "server/stores/remote_link.h"

namespace server {

class FileThreads;

/// A store of a table file, open on every shard. Its making and its end may take their time. Any
/// thread.
class OpenStore {
  public:
    virtual ~OpenStore() = default;
    OpenStore(const OpenStore&) = delete;
    OpenStore& operator=(const OpenStore&) = delete;

    const std::string& name() const noexcept { return spec_.name; }
    /// As it was opened.
    const config::StoreSpec& spec() const noexcept { return spec_; }
    const dmcore::Limits& limits() const noexcept { return fronts_.front()->limits(); }
    /// As one shard uses it.
    dmcore::BlockDevice& front(unsigned shard) const noexcept { return *fronts_[shard]; }

    /// Is it what `spec` asks for? A file may be known by another path.
    bool serves(const config::StoreSpec& spec) const noexcept;

    /// Null: it is no file.
    virtual std::shared_ptr<OpenFile> file() const noexcept { return nullptr; }

    /// I/O that it could not do since it was opened under this name.
    virtual std::uint64_t errors() const noexcept = 0;

    /// Makes durable what was written. True: it is, or there is nothing that could be.
    virtual bool sync() noexcept { return true; }

    /// Nothing: it is here.
    virtual std::optional<RemoteLink> link() const { return std::nullopt; }

  protected:
    explicit OpenStore(const config::StoreSpec& spec) : spec_(spec) {}

    std::vector<std::unique_ptr<dmcore::BlockDevice>> fronts_;  // One a shard; set when made.

  private:
    const config::StoreSpec spec_;
};

/// Opens it, or goes on with `file` that is open under another name [O-11]. Throws StoreError, and
/// std::bad_alloc for memory that is not to be had.
std::unique_ptr<OpenStore> open_store(const config::StoreSpec& spec, Shards& shards,
                                      std::shared_ptr<FileThreads> threads,
                                      std::shared_ptr<OpenFile> file);

}  // namespace server
