#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "server/nbd/export.h"
#include "server/nbd/wire.h"

namespace server::nbd {

/// A request in host byte order.
struct Request {
    Command command = Command::read;
    bool fua = false;      // Only on commands that change data.
    bool no_hole = false;  // Only on write_zeroes.
    bool df = false;       // Only on read: answer with one content chunk.
    bool req_one = false;  // Only on block_status: answer with one extent.
    std::uint64_t cookie = 0;
    std::uint64_t offset_bytes = 0;
    std::uint64_t length_bytes = 0;
};

enum class Verdict : std::uint8_t {
    serve,       // `request` is valid and concerns at least one byte, or is a flush.
    answer,      // Consume the payload, then answer with `error` (none: success without effect).
    disconnect,  // The client leaves: read no more, finish what is in flight, close.
    drop,        // The stream can't be trusted: close. `message` says why, for the log.
};

/// What to do about one request header.
struct Decision {
    Verdict verdict = Verdict::serve;
    NbdError error = NbdError::none;
    std::string_view message = {};    // Static text; empty where there is nothing to say.
    std::uint32_t payload_bytes = 0;  // That follow the header on the wire, whatever the verdict.
    Request request = {};             // The cookie is set for every verdict but `drop`.
};

/// How long a request's header is.
constexpr std::size_t header_bytes(Form form) noexcept {
    return form == Form::extended ? sizeof(ExtendedRequestHeader) : sizeof(RequestHeader);
}

/// Do these bytes, the last that came, end with a DISC?
bool ends_with_disconnect(std::span<const std::byte> bytes, Form form) noexcept;

/// Decodes and checks one request: header_bytes() of the terms' form. `info` is the export as it is
/// now, so that a grown or shrunk size counts at once; `terms` is what this connection was offered.
/// What passes needs no second check: serve means aligned, inside the export, allowed, and within
/// the payload limit. Source: "Request message" and "Request types" of the protocol's document; an
/// extended WRITE without PAYLOAD_LEN, which leaves the stream in doubt, is dropped.
Decision decide(std::span<const std::byte> header, const ExportInfo& info,
                const Terms& terms) noexcept;

}  // namespace server::nbd
