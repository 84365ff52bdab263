#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/spec.h"
#include "server/device.h"
#include "server/nbd/counts.h"
#include "server/nbd/export.h"

namespace server {

/// A mapped device under a name that clients see. Any thread, but info() is for the lane's shard.
class Export {
  public:
    /// `before`: the export that this one follows under its name; null: none. They count their
    /// clients and requests together.
    /// `answer_time`: the longest that a request may take, without what the stores themselves take.
    Export(config::ExportSpec spec, std::shared_ptr<Device> device, const Export* before = nullptr,
           dmcore::Time answer_time = {});

    const config::ExportSpec& spec() const noexcept { return spec_; }
    Device& device() const noexcept { return *device_; }

    /// What a client on that shard is told now.
    nbd::ExportInfo info(unsigned shard) const;
    /// What is behind it now: its device, and the stores that this stands on. On that shard.
    nbd::Identity identity(unsigned shard) const;
    dmcore::Time answer_time() const noexcept { return answer_time_; }
    /// May a client from `address` (none: a unix socket) use it, and is there room for one more
    /// now?
    bool admits(const std::optional<config::Address>& address) const;

    std::uint32_t connections() const noexcept { return use_->connections; }
    /// Of the requests that this shard has answered; to be used there.
    nbd::RequestCounts& counts(unsigned shard) const noexcept { return use_->counts[shard]; }
    /// Counts one more client. False: by now others have taken the last place.
    bool enter() const noexcept;
    void leave() const noexcept;

  private:
    struct Use {
        explicit Use(std::size_t shards) : counts(shards) {}
        std::atomic<std::uint32_t> connections{0};
        std::vector<nbd::RequestCounts> counts;  // By shard.
    };

    config::ExportSpec spec_;
    std::shared_ptr<Device> device_;
    dmcore::Time answer_time_;
    std::shared_ptr<Use> use_;
};

/// All exports; never changes once made.
class ExportTable {
  public:
    explicit ExportTable(std::vector<std::shared_ptr<const Export>> all = {})
        : all_(std::move(all)) {}

    const std::vector<std::shared_ptr<const Export>>& all() const noexcept { return all_; }
    /// Null if there is none of that name.
    std::shared_ptr<const Export> find(std::string_view name) const noexcept;

  private:
    std::vector<std::shared_ptr<const Export>> all_;
};

}  // namespace server
