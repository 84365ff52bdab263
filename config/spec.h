#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/cidr.h"
#include "config/source.h"
#include "dmcore/clock.h"
#include "dmcore/retry.h"
#include "dmcore/table.h"

/// What a table file says, with nothing left to work out: names are resolved, sizes known,
/// references checked. Plain values that compare by content. See user-experience 2 for the keys.
namespace config {

/// Without TLS, with or without it as the client likes, or with it only.
enum class Tls : std::uint8_t { no, yes, require };
/// As it is written.
std::string_view name_of(Tls tls) noexcept;

/// How a store of type nbd speaks TLS to its remote.
struct RemoteTls {
    std::optional<Tls> use{};  // Nothing: `tls` is not given, and the URI decides.
    Position position{};
    std::string certificates{};  // Folder: ca-cert.pem, client-cert.pem, client-key.pem. Or empty.
    std::string psk_path{};      // File of pre-shared keys; or empty.
    std::string username{};      // Whose key; empty: the user's name.
    bool verify_peer = true;

    friend bool operator==(const RemoteTls&, const RemoteTls&) = default;
};

struct StoreSpec {
    enum class Type : std::uint8_t { memory, file, nbd };
    enum class Discard : std::uint8_t { punch, ignore };
    enum class Engine : std::uint8_t { automatic, threads, io_uring };

    std::string name;
    Position position;  // Of the name.
    Type type = Type::memory;
    std::uint64_t size_sectors = 0;  // What it offers; without `size`, what was found.
    bool size_given = false;

    // Files only:
    std::string path;  // As written; relative to the working folder of the process.
    Position path_position;
    bool create = false;
    Discard discard = Discard::punch;
    Engine engine = Engine::automatic;
    bool direct = false;

    // Remote ones, of type nbd, only:
    std::string uri;  // As written.
    Position uri_position;
    std::uint32_t connections = 1;                      // At most, if the remote takes several.
    dmcore::Time reconnect = std::chrono::seconds(20);  // How long I/O waits for the remote.
    bool trust_restart = false;  // The remote keeps unflushed writes when it is restarted [O-6].
    dmcore::Time timeout{};      // Of one request; 0: none.
    RemoteTls tls;

    friend bool operator==(const StoreSpec&, const StoreSpec&) = default;
};

/// Is one used as the other is, whatever their names and paths?
bool same_use(const StoreSpec& a, const StoreSpec& b) noexcept;

/// As `type` is written: "memory".
std::string_view name_of(StoreSpec::Type type) noexcept;
/// As `engine` is written: "auto".
std::string_view name_of(StoreSpec::Engine engine) noexcept;

/// Where a segment of a table was written. What was left out has no line.
struct SegmentPlace {
    Position row, start, length, target, args;
    std::vector<Position>
        words;  // Of the arguments; may be short: then `args` stands for the rest.

    friend bool operator==(const SegmentPlace&, const SegmentPlace&) noexcept { return true; }
};

/// Where the rows of a table were written. Pasted text of a million rows keeps only line numbers.
struct TablePlace {
    Position table;                         // The value of `table`.
    std::vector<SegmentPlace> segments;     // One a row, or...
    std::vector<std::uint32_t> text_lines;  // ...the line of each row of pasted text.

    /// The place that a dmcore::TableError means; the best there is if it names no word.
    Position of(int row, int word, dmcore::TableError::Part part) const;

    friend bool operator==(const TablePlace&, const TablePlace&) noexcept { return true; }
};

struct DeviceSpec {
    std::string name;
    Position position;  // Of the name.
    std::vector<dmcore::RowSpec>
        rows;  // Complete and valid: a dmcore::Table can be built from them.
    TablePlace place;
    std::uint64_t size_sectors = 0;
    dmcore::RetryPolicy retry;
    Position retry_position;  // Not written: `retry` is the transient default.
    bool read_only = false;
    std::uint32_t block_bytes = 512;  // 512 or 4096.
    std::string uuid;
    std::vector<std::string> below;  // Stores and devices that the rows name, each once.
    dmcore::Limits limits;           // Of all this, over what is below.

    friend bool operator==(const DeviceSpec&, const DeviceSpec&) = default;
};

struct ExportSpec {
    std::string name;  // Empty: the default export.
    Position position;
    std::string device;
    Position device_position;
    bool read_only = false;  // Of the export itself; its device may be as well.
    std::string description;
    std::uint32_t max_connections = 0;  // 0: no bound of its own.
    std::vector<Cidr> allow;            // Empty: everyone. Unix sockets are not asked.
    Tls tls = Tls::yes;
    Position tls_position;

    friend bool operator==(const ExportSpec&, const ExportSpec&) = default;
};

struct ListenSpec {
    std::string uri;  // As written: "tcp://127.0.0.1:10809", "unix:/run/nbd.sock".
    Position position;
    std::string host;  // TCP only; without brackets.
    std::uint16_t port = 0;
    std::string path;                  // Unix only; otherwise empty.
    std::vector<std::string> exports;  // Offered here; empty: all.
    Tls tls = Tls::yes;                // Where no credentials are given, `yes` offers nothing.
    Position tls_position;

    bool is_unix() const noexcept { return !path.empty(); }
    friend bool operator==(const ListenSpec&, const ListenSpec&) = default;
};

/// What clients are spoken to by TLS with. Paths are as written; empty: not given.
struct TlsSpec {
    Position position;
    std::string cert_path;  // Never without a key.
    Position cert_position;
    std::string key_path;
    Position key_position;
    std::string ca_path;  // Of clients' certificates.
    Position ca_position;
    std::string psk_path;
    Position psk_position;
    bool verify_peer = false;   // Clients need a certificate of that CA, or a pre-shared key.
    std::uint64_t content = 0;  // Tells what the files hold from what they held before.

    bool given() const noexcept { return !cert_path.empty() || !psk_path.empty(); }
    std::vector<std::string> paths() const;

    friend bool operator==(const TlsSpec&, const TlsSpec&) = default;
};

struct ControlSpec {
    Position position;
    std::string unix_path;  // Empty: not given.
    unsigned mode = 0600;
    std::string http_host;  // Empty: not given.
    std::uint16_t http_port = 0;
    bool http_write = false;  // Changes are taken there, too...
    std::string token_path;   // ...from whoever knows what this file holds. Empty: from all.

    friend bool operator==(const ControlSpec&, const ControlSpec&) = default;
};

struct ReloadSpec {
    bool watch = true;
    dmcore::Time drain = std::chrono::seconds(10);
    bool allow_data_loss = false;

    friend bool operator==(const ReloadSpec&, const ReloadSpec&) = default;
};

struct LogSpec {
    enum class Level : std::uint8_t { debug, info, warning, error };
    enum class Format : std::uint8_t { automatic, text, json };
    Level level = Level::info;
    Format format = Format::automatic;  // Text on a terminal, else JSON.

    friend bool operator==(const LogSpec&, const LogSpec&) = default;
};

struct Spec {
    std::vector<std::shared_ptr<const Source>>
        sources;  // Table file first, then those it includes.
    std::optional<std::uint64_t> seed;
    unsigned shards = 0;  // 0: one a core.
    std::vector<std::string> data_roots;
    std::vector<StoreSpec> stores;  // In the order of the file, as all of these.
    std::vector<DeviceSpec> devices;
    std::vector<std::size_t> build_order;  // Indices of `devices`: what is below comes first.
    std::vector<ExportSpec> exports;
    std::vector<ListenSpec> listen;
    TlsSpec tls;
    ControlSpec control;
    ReloadSpec reload;
    LogSpec log;

    const StoreSpec* find_store(std::string_view name) const noexcept;
    const DeviceSpec* find_device(std::string_view name) const noexcept;
};

}  // namespace config
