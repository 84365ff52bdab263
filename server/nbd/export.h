#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/nbd/limits.h"

namespace server::nbd {

/// How clients must reach an export.
enum class TlsUse : std::uint8_t { never, either, only };

/// What a client may learn about one export. Sizes are in bytes. The numbers come from our own
/// configuration: block sizes are powers of two, minimum <= preferred <= payload maximum, and the
/// size is a multiple of the minimum.
struct ExportInfo {
    std::string name;         // At most string_bytes_max, UTF-8.
    std::string description;  // For people; likewise. May be empty.
    std::uint64_t size_bytes = 0;
    TlsUse tls = TlsUse::either;
    bool read_only = false;
    bool can_flush = false;
    bool can_fua = false;
    bool can_trim = false;
    bool can_zero = false;
    bool fast_zero = false;  // Zeroes are quicker than data now; if not, FAST_ZERO fails.
    bool can_multi_conn = false;
    std::uint32_t min_block_bytes = 512;
    std::uint32_t preferred_block_bytes = 4096;
    std::uint32_t max_payload_bytes = payload_bytes_max;  // Never more than that limit.
};

/// What is behind an export, for a client that comes back and wants to find the same.
struct Identity {
    std::uint64_t server = 0;     // Of this run of the server.
    std::uint32_t answer_ms = 0;  // The longest that a request may take; 0: it depends on stores.
    std::string text;             // Equal: the same bytes. At most string_bytes_max, UTF-8.
};

/// The exports that one client may see. Called on the connection's thread.
class ExportList {
  public:
    virtual ~ExportList() = default;

    /// The export of this name, or null. The empty name asks for the default export. Opens and
    /// reserves nothing: a client may ask for information for ever.
    virtual std::shared_ptr<const ExportInfo> find(std::string_view name) const = 0;

    /// All of them, in the order a client shall see them.
    virtual std::vector<std::shared_ptr<const ExportInfo>> list() const = 0;

    /// Of the export that find() would give. Nothing: it is not known.
    virtual std::optional<Identity> identify(std::string_view) const { return std::nullopt; }
};

/// How requests and replies look on one connection.
enum class Form : std::uint8_t {
    simple,      // Compact requests, simple replies.
    structured,  // Compact requests, structured replies.
    extended,    // Extended headers both ways.
};

/// What BLOCK_STATUS can tell of an export.
enum class MetaContext : std::uint8_t {
    allocation,  // base:allocation
    map,         // x-dmnbd:map
};
inline constexpr std::array<std::string_view, 2> meta_context_names = {"base:allocation",
                                                                       "x-dmnbd:map"};
/// On the wire.
constexpr std::uint32_t number_of(MetaContext context) noexcept {
    return static_cast<std::uint32_t>(context) + 1;
}
/// A bit for each.
using MetaContexts = std::uint8_t;
constexpr MetaContexts bit_of(MetaContext context) noexcept {
    return static_cast<MetaContexts>(1U << static_cast<unsigned>(context));
}

/// What one connection agreed on in its handshake. It holds until the connection ends.
struct Terms {
    Form form = Form::simple;
    MetaContexts contexts = 0;  // None without structured replies.
    std::uint16_t transmission_flags = 0;
};

/// The flags word that offers `info` to a client. DF needs structured replies or more; a read-only
/// export offers no TRIM and no WRITE_ZEROES. RESIZE is not offered at all.
std::uint16_t transmission_flags(const ExportInfo& info, Form form) noexcept;

}  // namespace server::nbd
