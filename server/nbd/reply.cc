#include "server/nbd/reply.h"

#include <cassert>
#include <cstring>

namespace server::nbd {
namespace {

ReplyHead simple_reply(std::uint64_t cookie, NbdError error) noexcept {
    ReplyHead head;
    SimpleReply reply;
    reply.error = static_cast<std::uint32_t>(error);
    reply.cookie = cookie;
    head.append(wire_bytes(reply));
    return head;
}

/// The header of a chunk that is its reply's only one, and so its last.
ReplyHead only_chunk(ChunkType type, std::uint64_t cookie, std::size_t payload_bytes) noexcept {
    ReplyHead head;
    ChunkHeader chunk;
    chunk.flags = chunk_flag_done;
    chunk.type = static_cast<std::uint16_t>(type);
    chunk.cookie = cookie;
    chunk.payload_bytes = static_cast<std::uint32_t>(payload_bytes);
    head.append(wire_bytes(chunk));
    return head;
}

}  // namespace

void ReplyHead::append(std::span<const std::byte> part) noexcept {
    assert(part.size() <= bytes_max - size_);
    if (!part.empty()) std::memcpy(bytes_.data() + size_, part.data(), part.size());
    size_ += part.size();
}

ReplyHead read_reply(bool structured, std::uint64_t cookie, std::uint64_t offset_bytes,
                     std::uint32_t length_bytes) noexcept {
    assert(length_bytes > 0 && length_bytes <= payload_bytes_max);
    if (!structured) return simple_reply(cookie, NbdError::none);
    ReplyHead head = only_chunk(ChunkType::offset_data, cookie, sizeof(OffsetData) + length_bytes);
    OffsetData content;
    content.offset_bytes = offset_bytes;
    head.append(wire_bytes(content));
    return head;
}

ReplyHead done_reply(bool structured, std::uint64_t cookie) noexcept {
    if (!structured) return simple_reply(cookie, NbdError::none);
    return only_chunk(ChunkType::none, cookie, 0);
}

ReplyHead error_reply(bool structured, std::uint64_t cookie, NbdError error,
                      std::string_view message) noexcept {
    assert(error != NbdError::none);
    if (!structured) return simple_reply(cookie, error);
    message = message.substr(0, reply_message_bytes_max);
    ReplyHead head = only_chunk(ChunkType::error, cookie, sizeof(ErrorHead) + message.size());
    ErrorHead content;
    content.error = static_cast<std::uint32_t>(error);
    content.message_bytes = static_cast<std::uint16_t>(message.size());
    head.append(wire_bytes(content));
    head.append(std::as_bytes(std::span(message)));
    return head;
}

}  // namespace server::nbd
