#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "server/nbd/export.h"
#include "server/nbd/limits.h"
#include "server/nbd/wire.h"

namespace server::nbd {

/// Bytes of a reply that are not data: one header, and the head of its payload.
class ReplyHead {
  public:
    static constexpr std::size_t bytes_max =
        sizeof(ExtendedChunkHeader) + sizeof(ErrorHead) + reply_message_bytes_max;

    /// Valid as long as this object is.
    std::span<const std::byte> bytes() const noexcept { return std::span(bytes_).first(size_); }

    /// Adds to the end. What does not fit is an error of ours.
    void append(std::span<const std::byte> part) noexcept;

  private:
    std::array<std::byte, bytes_max> bytes_;
    std::size_t size_ = 0;
};

/// Whose reply it is, in the form that was agreed on.
struct ReplyTo {
    Form form = Form::simple;
    std::uint64_t cookie = 0;
    std::uint64_t offset_bytes = 0;  // Of the request.
};

/// Is it the reply's last chunk?
enum class Last : std::uint8_t { no, yes };

/// `bytes` > 0 of what a READ asked for, from `offset_bytes` on: exactly that much data must
/// follow. In simple form it is all of it.
ReplyHead data_reply(const ReplyTo& to, std::uint64_t offset_bytes, std::uint32_t bytes,
                     Last last) noexcept;

/// The same where all of it is zero: nothing follows. Not in simple form.
ReplyHead hole_reply(const ReplyTo& to, std::uint64_t offset_bytes, std::uint32_t bytes,
                     Last last) noexcept;

/// The header of a chunk whose payload of so many bytes must follow. Not in simple form.
ReplyHead chunk_head(const ReplyTo& to, ChunkType type, std::size_t payload_bytes,
                     Last last) noexcept;

/// Success without data: of any other command, or of a READ of length 0.
ReplyHead done_reply(const ReplyTo& to) noexcept;

/// Failure; no data follows. `error` is not `none`. `message` (ASCII, may be empty, cut to
/// reply_message_bytes_max) reaches the client in chunks only.
ReplyHead error_reply(const ReplyTo& to, NbdError error, std::string_view message) noexcept;

}  // namespace server::nbd
