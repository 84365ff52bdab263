#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/load_table.h"
#include "dmcore/stats.h"
#include "dmcore/target.h"
#include "server/event_feed.h"
#include "server/features.h"
#include "server/nbd/counts.h"
#include "server/stores/remote_link.h"

namespace server {

struct StoreInfo {
    std::string name;
    std::string type;    // "memory", "file", "nbd"
    std::string detail;  // The path of a file, the URI of a remote; may be empty.
    std::uint64_t size_sectors = 0;
    std::uint64_t errors = 0;          // I/O that it could not do since it was opened.
    std::optional<RemoteLink> link{};  // Nothing: it is here.
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
    std::vector<std::string> target_types;    // Of the rows, each kind once, in order.
    std::string state;                        // "up, 6.4s left" of the first row that has one.
    std::optional<bool> flakey_up;            // Of all rows that know; none does: nothing.
    std::vector<std::string> below;           // Names of what it stands on, each once...
    std::vector<std::string> inactive_below;  // ...and of what its inactive table would.
    dmcore::DeviceStats stats;
};

struct ServedExport {
    std::string name;  // Empty: the default export.
    std::string device;
    std::uint64_t size_bytes = 0;
    bool read_only = false;
    std::string description;
    std::uint32_t connections = 0;
    Features features;
    nbd::RequestCounts requests{};
};

/// A connection to the NBD server.
struct ClientInfo {
    std::uint64_t id = 0;                    // Never used again while the program runs.
    std::string peer;                        // "127.0.0.1:40812", or "unix"
    std::optional<std::string> export_name;  // None: it is still negotiating.
    std::size_t in_flight = 0;               // Its requests.
    bool closing = false;                    // Closed; a store still holds requests of it.
};

/// What clients have the server hold, beside what stores and tables do.
struct MemoryInfo {
    std::size_t buffer_bytes = 0;  // Data of requests and replies now.
    std::size_t budget_bytes = 0;  // The most that it can all come to.
    std::size_t connections = 0;   // Those that negotiate included.
};

/// One part of a health answer.
struct HealthPart {
    std::string name;  // "listeners", "shard 0", "store img0"
    bool good = true;
    std::string detail;
};

/// One of a device's two tables (dm-semantics 5.1).
enum class Slot : std::uint8_t { live, inactive };

/// A step that was not taken, or was taken back.
struct StepError : std::runtime_error {
    enum class Kind : std::uint8_t { no_such_device, wrong_state, stopping };

    StepError(Kind kind_, std::string slug_, const std::string& message, std::string help_ = {})
        : std::runtime_error(message),
          kind(kind_),
          slug(std::move(slug_)),
          help(std::move(help_)) {}

    Kind kind;
    std::string slug;  // Stable: "no-table".
    std::string help;  // May be empty.
};

/// A table that was not loaded.
struct BadTable : std::runtime_error {
    explicit BadTable(config::Diagnostics found_)
        : std::runtime_error("bad table"), found(std::move(found_)) {}

    config::Diagnostics found;
};

/// The running program as the control API sees it. Every call may come from any thread but the
/// shards', waits for the shards' answers and so takes up to a turn of their loops.
class Live {
  public:
    virtual ~Live() = default;

    virtual std::vector<StoreInfo> stores() = 0;
    virtual std::vector<DeviceInfo> devices() = 0;
    virtual std::vector<ServedExport> exports() = 0;
    /// Where NBD clients connect, as URIs without an export.
    virtual std::vector<std::string> listening() = 0;
    virtual std::vector<ClientInfo> clients() = 0;
    virtual MemoryInfo memory() = 0;
    /// Closes a connection. Returns when nothing of it can reach a store any more, for as long as
    /// that takes [O-2]. False: there is no such connection. Throws StepError.
    virtual bool drop_client(std::uint64_t id) = 0;
    /// Text of a table, one line a row; nothing if there is no such device; empty without a table
    /// in that slot.
    virtual std::optional<std::string> table_text(const std::string& device, dmcore::TextForm form,
                                                  Slot slot) = 0;
    /// The device as a table file has it, with its live table; nothing if there is none.
    virtual std::optional<std::string> table_yaml(const std::string& device) = 0;
    virtual std::optional<std::string> status_text(const std::string& device, Slot slot) = 0;
    /// Waits until the device's event number is not `seen` any more, but only until `until`. What
    /// it is then. Throws StepError.
    virtual std::uint64_t wait_event(const std::string& device, std::uint64_t seen,
                                     std::chrono::steady_clock::time_point until) = 0;

    /// What happens from now on.
    virtual EventFeed& feed() = 0;

    // dm's own steps on one device (dm-semantics 5), each done when the call returns. They throw
    // StepError. Different threads may take steps on one device at the same time; see DeviceSteps
    // for what comes of it.

    /// Puts a table into the inactive slot, in place of one that is there. Throws BadTable, and
    /// then changes nothing [S-12].
    virtual void load(const std::string& device, const config::TableText& table) = 0;
    /// Empties the inactive slot.
    virtual void clear(const std::string& device) = 0;
    /// Waits for all I/O in flight, for as long as that takes.
    virtual void suspend(const std::string& device, bool noflush) = 0;
    /// Makes an inactive table live, suspending first if need be, as suspend() does.
    virtual void resume(const std::string& device, bool noflush) = 0;
    /// The answer to a message, each line of it ended. Throws dmcore::TableError, too.
    virtual std::string message(const std::string& device, std::uint64_t sector,
                                const std::vector<std::string>& words) = 0;

    /// Listeners are bound.
    virtual std::vector<HealthPart> startup_health() = 0;
    /// A table is live and every store that an export needs is open.
    virtual std::vector<HealthPart> ready_health() = 0;
    /// All shards answered within a second.
    virtual std::vector<HealthPart> live_health() = 0;
};

}  // namespace server
