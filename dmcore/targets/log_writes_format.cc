#include "dmcore/targets/log_writes_format.h"

namespace dmcore::log_format {
namespace {

void put_number(std::byte* to, std::uint64_t value, unsigned bytes = 8) noexcept {
    for (unsigned i = 0; i < bytes; ++i) to[i] = std::byte(value >> (8 * i) & 0xff);
}

std::uint64_t get_number(const std::byte* from, unsigned bytes = 8) noexcept {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) value |= std::to_integer<std::uint64_t>(from[i]) << 8 * i;
    return value;
}

}  // namespace

void put(std::byte* to, const Super& super) noexcept {
    put_number(to, super.magic);
    put_number(to + 8, super.version);
    put_number(to + 16, super.entries);
    put_number(to + 24, super.block_bytes, 4);
}

void put(std::byte* to, const Header& header) noexcept {
    put_number(to, header.block);
    put_number(to + 8, header.blocks);
    put_number(to + 16, header.flags);
    put_number(to + 24, header.text_bytes);
}

Super get_super(const std::byte* from) noexcept {
    return {.magic = get_number(from),
            .version = get_number(from + 8),
            .entries = get_number(from + 16),
            .block_bytes = static_cast<std::uint32_t>(get_number(from + 24, 4))};
}

Header get_header(const std::byte* from) noexcept {
    return {.block = get_number(from),
            .blocks = get_number(from + 8),
            .flags = get_number(from + 16),
            .text_bytes = get_number(from + 24)};
}

}  // namespace dmcore::log_format
