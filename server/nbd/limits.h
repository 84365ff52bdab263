#pragma once

#include <cstddef>
#include <cstdint>

// Every bound of the NBD protocol code. The protocol's document asks for some; the rest keep one
// client from taking more than its share.
namespace server::nbd {

/// The longest name, query or description the protocol allows, in bytes (section "Values").
inline constexpr std::uint32_t string_bytes_max = 4096;

/// A client that announces more data for one option is disconnected, and nothing is buffered.
inline constexpr std::uint32_t option_data_bytes_max = 64 * 1024;

/// Options one client may send: this many, and some more for each export it can list and ask about.
inline constexpr std::size_t options_base_max = 64;
inline constexpr std::size_t options_per_export_max = 16;

/// While this many reply bytes wait to be written, no further option is parsed.
inline constexpr std::size_t handshake_output_bytes_max = 64 * 1024;

/// What an error text repeats of a name that a client sent, in bytes before escaping.
inline constexpr std::size_t quoted_bytes_max = 80;

/// The most data one READ or WRITE may carry; an export may offer less.
inline constexpr std::uint32_t payload_bytes_max = 32 * 1024 * 1024;

/// The payload of a WRITE that is refused is read and thrown away up to this size, so that the
/// connection survives; a client that announces more is disconnected.
inline constexpr std::uint32_t payload_discard_bytes_max = 2 * payload_bytes_max;

/// What BLOCK_STATUS and CACHE need of the buffers for data, and beside them.
inline constexpr std::size_t inquiry_room_bytes = 64 * 1024;
inline constexpr std::size_t inquiry_bytes = 8 * 1024;

/// The text in an error reply chunk is cut to this length.
inline constexpr std::size_t reply_message_bytes_max = 96;

static_assert(string_bytes_max <= option_data_bytes_max);
static_assert(4 * quoted_bytes_max < string_bytes_max, "an escaped name must fit an error text");

}  // namespace server::nbd
