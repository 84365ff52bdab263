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

}  // namespace

void ReplyHead::append(std::span<const std::byte> part) noexcept {
    assert(part.size() <= bytes_max - size_);
    if (!part.empty()) std::memcpy(bytes_.data() + size_, part.data(), part.size());
    size_ += part.size();
}

ReplyHead chunk_head(const ReplyTo& to, ChunkType type, std::size_t payload_bytes,
                     Last last) noexcept {
    assert(to.form != Form::simple);
    ReplyHead head;
    const auto fill = [&](auto chunk) {
        chunk.flags = last == Last::yes ? chunk_flag_done : std::uint16_t{0};
        chunk.type = static_cast<std::uint16_t>(type);
        chunk.cookie = to.cookie;
        return chunk;
    };
    if (to.form == Form::extended) {
        auto chunk = fill(ExtendedChunkHeader{});
        chunk.offset_bytes = to.offset_bytes;
        chunk.payload_bytes = payload_bytes;
        head.append(wire_bytes(chunk));
    } else {
        auto chunk = fill(ChunkHeader{});
        chunk.payload_bytes = static_cast<std::uint32_t>(payload_bytes);
        head.append(wire_bytes(chunk));
    }
    return head;
}

ReplyHead data_reply(const ReplyTo& to, std::uint64_t offset_bytes, std::uint32_t bytes,
                     Last last) noexcept {
    assert(bytes > 0 && bytes <= payload_bytes_max);
    if (to.form == Form::simple) return simple_reply(to.cookie, NbdError::none);
    ReplyHead head = chunk_head(to, ChunkType::offset_data, sizeof(OffsetData) + bytes, last);
    OffsetData content;
    content.offset_bytes = offset_bytes;
    head.append(wire_bytes(content));
    return head;
}

ReplyHead hole_reply(const ReplyTo& to, std::uint64_t offset_bytes, std::uint32_t bytes,
                     Last last) noexcept {
    ReplyHead head = chunk_head(to, ChunkType::offset_hole, sizeof(OffsetHole), last);
    OffsetHole hole;
    hole.offset_bytes = offset_bytes;
    hole.hole_bytes = bytes;
    head.append(wire_bytes(hole));
    return head;
}

ReplyHead done_reply(const ReplyTo& to) noexcept {
    if (to.form == Form::simple) return simple_reply(to.cookie, NbdError::none);
    return chunk_head(to, ChunkType::none, 0, Last::yes);
}

ReplyHead error_reply(const ReplyTo& to, NbdError error, std::string_view message) noexcept {
    assert(error != NbdError::none);
    if (to.form == Form::simple) return simple_reply(to.cookie, error);
    message = message.substr(0, reply_message_bytes_max);
    ReplyHead head =
        chunk_head(to, ChunkType::error, sizeof(ErrorHead) + message.size(), Last::yes);
    ErrorHead content;
    content.error = static_cast<std::uint32_t>(error);
    content.message_bytes = static_cast<std::uint16_t>(message.size());
    head.append(wire_bytes(content));
    head.append(std::as_bytes(std::span(message)));
    return head;
}

}  // namespace server::nbd
