#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dmcore/stats.h"
#include "dmcore/target.h"

namespace server {

struct StoreInfo {
    std::string name;
    std::string type;    // "memory", "file"
    std::string detail;  // The path of a file; may be empty.
    std::uint64_t size_sectors = 0;
};

struct DeviceInfo {
    std::string name;
    std::string uuid;
    bool suspended = false;
    bool live_table = false;
    bool inactive_table = false;
    bool read_only = false;
    std::uint32_t open_count = 0;  // Clients, and devices that stand on it.
    std::uint64_t targets = 0;     // Rows of the live table.
    std::uint64_t event_number = 0;
    std::uint64_t size_sectors = 0;
    std::vector<std::string> target_types;  // Of the rows, each kind once, in order.
    std::string state;                      // "up, 6.4s left" of the first row that has one.
    std::vector<std::string> below;         // Names of what it stands on, each once.
    dmcore::DeviceStats stats;
};

struct ServedExport {
    std::string name;  // Empty: the default export.
    std::string device;
    std::uint64_t size_bytes = 0;
    bool read_only = false;
    std::string description;
    std::uint32_t connections = 0;
};

/// One part of a health answer.
struct HealthPart {
    std::string name;  // "listeners", "shard 0", "store img0"
    bool good = true;
    std::string detail;
};

/// The running program as the control API sees it. Every call may come from any thread but the
/// shards', waits for the shards' answers and so takes up to a turn of their loops.
class Live {
  public:
    virtual ~Live() = default;

    virtual std::vector<StoreInfo> stores() = 0;
    virtual std::vector<DeviceInfo> devices() = 0;
    virtual std::vector<ServedExport> exports() = 0;
    /// Text of the live table, one line a row; nothing if there is no such device; empty without a
    /// live table.
    virtual std::optional<std::string> table_text(const std::string& device,
                                                  dmcore::TextForm form) = 0;
    virtual std::optional<std::string> status_text(const std::string& device) = 0;

    /// Listeners are bound.
    virtual std::vector<HealthPart> startup_health() = 0;
    /// A table is live and every store that an export needs is open.
    virtual std::vector<HealthPart> ready_health() = 0;
    /// All shards answered within a second.
    virtual std::vector<HealthPart> live_health() = 0;
};

}  // namespace server
