#pragma once

#include <cstddef>
#include <cstdint>

/// What log-writes puts on its log device, as Linux does (dm-semantics [LW-2]). The log is counted
/// in blocks of the size that the super names: the super, then for each entry a header of one block
/// and its data. Numbers are little endian, what is left of a block is zero.
namespace dmcore::log_format {

inline constexpr std::uint64_t magic = 0x6a736677736872;
inline constexpr std::uint64_t version = 1;
inline constexpr std::size_t super_bytes = 28;   // Of a block, the rest is zero...
inline constexpr std::size_t header_bytes = 32;  // ...or of a mark, its text.

enum Flag : std::uint64_t { flush = 1, fua = 2, discard = 4, mark = 8, metadata = 16 };

struct Super {
    std::uint64_t magic = log_format::magic;
    std::uint64_t version = log_format::version;
    std::uint64_t entries = 0;
    std::uint32_t block_bytes = 0;
};

struct Header {
    std::uint64_t block = 0;   // First of the range, on the data device...
    std::uint64_t blocks = 0;  // ...and how many; data follow unless it was discarded.
    std::uint64_t flags = 0;
    std::uint64_t text_bytes = 0;  // Of a mark.

    std::uint64_t data_blocks() const noexcept { return (flags & discard) != 0 ? 0 : blocks; }
};

/// At `to` there is room for super_bytes, or header_bytes.
void put(std::byte* to, const Super& super) noexcept;
void put(std::byte* to, const Header& header) noexcept;
Super get_super(const std::byte* from) noexcept;
Header get_header(const std::byte* from) noexcept;

}  // namespace dmcore::log_format
