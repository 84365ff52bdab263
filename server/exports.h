#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/spec.h"
#include "dmcore/mapped_device.h"
#include "server/nbd/export.h"

namespace server {

/// A mapped device under a name that clients see. Any thread, but info() is for the lane's shard.
class Export {
  public:
    Export(config::ExportSpec spec, dmcore::MappedDevice& device)
        : spec_(std::move(spec)), device_(device) {}

    const config::ExportSpec& spec() const noexcept { return spec_; }
    dmcore::MappedDevice& device() const noexcept { return device_; }

    /// What a client on that shard is told now.
    nbd::ExportInfo info(unsigned shard) const;
    /// May a client from `address` (none: a unix socket) use it, and is there room for one more
    /// now?
    bool admits(const std::optional<config::Address>& address) const;

    std::uint32_t connections() const noexcept { return connections_.load(); }
    /// Counts one more client. False: by now others have taken the last place.
    bool enter() const noexcept;
    void leave() const noexcept { --connections_; }

  private:
    config::ExportSpec spec_;
    dmcore::MappedDevice& device_;
    mutable std::atomic<std::uint32_t> connections_{0};
};

/// All exports; never changes once made.
class ExportTable {
  public:
    explicit ExportTable(std::vector<std::shared_ptr<const Export>> all) : all_(std::move(all)) {}

    const std::vector<std::shared_ptr<const Export>>& all() const noexcept { return all_; }
    /// Null if there is none of that name.
    std::shared_ptr<const Export> find(std::string_view name) const noexcept;

  private:
    std::vector<std::shared_ptr<const Export>> all_;
};

}  // namespace server
