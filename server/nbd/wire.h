#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

// The bytes of the NBD protocol as types. Names and numbers are those of the protocol's document
// (doc/proto.md of the nbd project). Every integer on the wire is unsigned and big-endian.
namespace server::nbd {

/// An unsigned integer as it lies on the wire: big-endian, alignment 1. Converts by itself.
template <std::unsigned_integral T>
class BigEndian {
  public:
    constexpr BigEndian() = default;
    constexpr BigEndian(T value) {
        for (std::size_t i = sizeof(T); i-- > 0; value = static_cast<T>(value >> 8)) {
            bytes_[i] = static_cast<std::uint8_t>(value & 0xff);
        }
    }
    constexpr operator T() const {
        T value = 0;
        for (const std::uint8_t byte : bytes_) value = static_cast<T>(value << 8 | byte);
        return value;
    }

  private:
    std::array<std::uint8_t, sizeof(T)> bytes_{};
};

using be16 = BigEndian<std::uint16_t>;
using be32 = BigEndian<std::uint32_t>;
using be64 = BigEndian<std::uint64_t>;

inline constexpr std::uint64_t greeting_magic = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr std::uint64_t option_magic = 0x49484156454f5054;    // "IHAVEOPT"
inline constexpr std::uint64_t option_reply_magic = 0x0003e889045565a9;
inline constexpr std::uint32_t request_magic = 0x25609513;
inline constexpr std::uint32_t simple_reply_magic = 0x67446698;
inline constexpr std::uint32_t chunk_magic = 0x668e33ef;
inline constexpr std::uint32_t extended_request_magic = 0x21e41c71;
inline constexpr std::uint32_t extended_chunk_magic = 0x6e8a278c;

/// Handshake flags; the server's and the client's share their bits.
inline constexpr std::uint16_t flag_fixed_newstyle = 1 << 0;
inline constexpr std::uint16_t flag_no_zeroes = 1 << 1;

/// The padding after a successful EXPORT_NAME, unless both sides agreed on flag_no_zeroes.
inline constexpr std::size_t export_name_zeroes_bytes = 124;

enum class Option : std::uint32_t {
    export_name = 1,
    abort = 2,
    list = 3,
    peek_export = 4,
    starttls = 5,
    info = 6,
    go = 7,
    structured_reply = 8,
    list_meta_context = 9,
    set_meta_context = 10,
    extended_headers = 11,
};

enum class OptionReply : std::uint32_t {
    ack = 1,
    server = 2,
    info = 3,
    meta_context = 4,
    error_unsupported = 0x80000001,
    error_policy = 0x80000002,
    error_invalid = 0x80000003,
    error_platform = 0x80000004,
    error_tls_required = 0x80000005,
    error_unknown = 0x80000006,
    error_shutdown = 0x80000007,
    error_block_size_required = 0x80000008,
    error_too_big = 0x80000009,
    error_extended_headers_required = 0x8000000a,
};

enum class InfoType : std::uint16_t {
    export_size = 0,
    name = 1,
    description = 2,
    block_size = 3,
    identity = 0x444d,  // Ours ("DM"), sent only to who asks for it; others ignore the question.
};

/// Transmission flags: what an export offers to one connection.
inline constexpr std::uint16_t flag_has_flags = 1 << 0;
inline constexpr std::uint16_t flag_read_only = 1 << 1;
inline constexpr std::uint16_t send_flush = 1 << 2;
inline constexpr std::uint16_t send_fua = 1 << 3;
inline constexpr std::uint16_t flag_rotational = 1 << 4;
inline constexpr std::uint16_t send_trim = 1 << 5;
inline constexpr std::uint16_t send_write_zeroes = 1 << 6;
inline constexpr std::uint16_t send_df = 1 << 7;
inline constexpr std::uint16_t flag_can_multi_conn = 1 << 8;
inline constexpr std::uint16_t send_cache = 1 << 10;
inline constexpr std::uint16_t send_fast_zero = 1 << 11;

enum class Command : std::uint16_t {
    read = 0,
    write = 1,
    disconnect = 2,
    flush = 3,
    trim = 4,
    cache = 5,
    write_zeroes = 6,
    block_status = 7,
};

inline constexpr std::uint16_t command_flag_fua = 1 << 0;
inline constexpr std::uint16_t command_flag_no_hole = 1 << 1;
inline constexpr std::uint16_t command_flag_df = 1 << 2;
inline constexpr std::uint16_t command_flag_req_one = 1 << 3;
inline constexpr std::uint16_t command_flag_fast_zero = 1 << 4;
inline constexpr std::uint16_t command_flag_payload_length = 1 << 5;  // With extended headers only.

/// The only error numbers a reply may carry; the numbers look like errnos of Linux.
enum class NbdError : std::uint32_t {
    none = 0,
    not_permitted = 1,
    io = 5,
    no_memory = 12,
    invalid = 22,
    no_space = 28,
    overflow = 75,
    not_supported = 95,
    shutdown = 108,
};

enum class ChunkType : std::uint16_t {
    none = 0,
    offset_data = 1,
    offset_hole = 2,
    block_status = 5,
    block_status_extended = 6,
    error = 0x8001,
    error_offset = 0x8002,
};

inline constexpr std::uint16_t chunk_flag_done = 1 << 0;

/// Of base:allocation.
inline constexpr std::uint32_t state_hole = 1 << 0;
inline constexpr std::uint32_t state_zero = 1 << 1;

struct Greeting {
    be64 magic = greeting_magic;
    be64 newstyle = option_magic;
    be16 flags;
};

struct OptionHeader {
    be64 magic;
    be32 option;
    be32 data_bytes;
};

struct OptionReplyHeader {
    be64 magic = option_reply_magic;
    be32 option;
    be32 type;
    be32 data_bytes;
};

/// The answer to EXPORT_NAME, before its padding.
struct ExportNameReply {
    be64 size_bytes;
    be16 transmission_flags;
};

struct InfoExport {
    be16 type = static_cast<std::uint16_t>(InfoType::export_size);
    be64 size_bytes;
    be16 transmission_flags;
};

struct InfoBlockSize {
    be16 type = static_cast<std::uint16_t>(InfoType::block_size);
    be32 minimum_bytes;
    be32 preferred_bytes;
    be32 max_payload_bytes;
};

/// The head of our own information; the identity follows, a string.
struct InfoIdentity {
    be16 type = static_cast<std::uint16_t>(InfoType::identity);
    be64 server;     // A number that each run of a server has for itself.
    be32 answer_ms;  // The longest that a request may take; 0: no more than the stores take.
};

struct RequestHeader {
    be32 magic;
    be16 flags;
    be16 type;
    be64 cookie;  // The client's; echoed, never interpreted.
    be64 offset_bytes;
    be32 length_bytes;
};

struct ExtendedRequestHeader {
    be32 magic;
    be16 flags;
    be16 type;
    be64 cookie;
    be64 offset_bytes;
    be64 length_bytes;  // Of the payload, with command_flag_payload_length; else of the effect.
};

struct SimpleReply {
    be32 magic = simple_reply_magic;
    be32 error;
    be64 cookie;
};

struct ChunkHeader {
    be32 magic = chunk_magic;
    be16 flags;
    be16 type;
    be64 cookie;
    be32 payload_bytes;
};

struct ExtendedChunkHeader {
    be32 magic = extended_chunk_magic;
    be16 flags;
    be16 type;
    be64 cookie;
    be64 offset_bytes;  // The request's.
    be64 payload_bytes;
};

/// The head of an offset_data chunk's payload; the data follows.
struct OffsetData {
    be64 offset_bytes;
};

/// The payload of an offset_hole chunk.
struct OffsetHole {
    be64 offset_bytes;
    be32 hole_bytes;
};

/// One extent of a block_status chunk, behind the context's number.
struct BlockState {
    be32 length_bytes;
    be32 state;
};

/// The head of a block_status_extended chunk's payload, and one extent of it.
struct ExtendedBlockStatus {
    be32 context;
    be32 count;
};
struct ExtendedBlockState {
    be64 length_bytes;
    be64 state;
};

/// The head of an error chunk's payload; the message follows.
struct ErrorHead {
    be32 error;
    be16 message_bytes;
};

static_assert(alignof(be16) == 1 && alignof(be32) == 1 && alignof(be64) == 1);
static_assert(sizeof(Greeting) == 18);
static_assert(sizeof(OptionHeader) == 16);
static_assert(sizeof(OptionReplyHeader) == 20);
static_assert(sizeof(ExportNameReply) == 10);
static_assert(sizeof(InfoExport) == 12);
static_assert(sizeof(InfoBlockSize) == 14);
static_assert(sizeof(InfoIdentity) == 14);
static_assert(sizeof(RequestHeader) == 28 && alignof(RequestHeader) == 1);
static_assert(sizeof(ExtendedRequestHeader) == 32 && alignof(ExtendedRequestHeader) == 1);
static_assert(sizeof(SimpleReply) == 16);
static_assert(sizeof(ChunkHeader) == 20);
static_assert(sizeof(ExtendedChunkHeader) == 32);
static_assert(sizeof(OffsetData) == 8);
static_assert(sizeof(OffsetHole) == 12);
static_assert(sizeof(BlockState) == 8);
static_assert(sizeof(ExtendedBlockStatus) == 8);
static_assert(sizeof(ExtendedBlockState) == 16);
static_assert(sizeof(ErrorHead) == 6);

/// What may be copied to and from the wire byte by byte.
template <typename T>
concept WireType = std::is_trivially_copyable_v<T> && alignof(T) == 1;

/// The bytes of `value`, to be sent while it lives.
template <WireType T>
std::span<const std::byte> wire_bytes(const T& value) {
    return std::as_bytes(std::span<const T, 1>(&value, 1));
}

/// Reads a T from the front of `bytes`, which holds at least sizeof(T).
template <WireType T>
T wire_read(std::span<const std::byte> bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

}  // namespace server::nbd
