#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "server/nbd/limits.h"
#include "server/nbd/wire.h"

namespace server::nbd {

/// All bytes of a reply except the data of a READ, which is sent right behind them.
class ReplyHead {
  public:
    static constexpr std::size_t bytes_max =
        sizeof(ChunkHeader) + sizeof(ErrorHead) + reply_message_bytes_max;

    /// Valid as long as this object is.
    std::span<const std::byte> bytes() const noexcept { return std::span(bytes_).first(size_); }

    /// Adds to the end. What does not fit is an error of ours.
    void append(std::span<const std::byte> part) noexcept;

  private:
    std::array<std::byte, bytes_max> bytes_;
    std::size_t size_ = 0;
};

/// The form of the replies is the one agreed on: `structured` stands for Terms::structured_replies.

/// A successful READ of `length_bytes` > 0; exactly that much data must follow. In structured form
/// it is one chunk, and the last.
ReplyHead read_reply(bool structured, std::uint64_t cookie, std::uint64_t offset_bytes,
                     std::uint32_t length_bytes) noexcept;

/// Success without data: of any other command, or of a READ of length 0.
ReplyHead done_reply(bool structured, std::uint64_t cookie) noexcept;

/// Failure; no data follows. `error` is not `none`. `message` (ASCII, may be empty, cut to
/// reply_message_bytes_max) reaches the client in structured form only.
ReplyHead error_reply(bool structured, std::uint64_t cookie, NbdError error,
                      std::string_view message) noexcept;

}  // namespace server::nbd
