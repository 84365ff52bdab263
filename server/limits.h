#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "server/nbd/limits.h"

/// Every bound of the server outside the protocol code (server/nbd/limits.h) and the control plane.
/// A full one slows the reader; it never fails a request.
namespace server::limits {

inline constexpr std::size_t connections_max = 1024;
inline constexpr int listen_backlog = 128;
inline constexpr std::chrono::seconds handshake_time{10};  // From accept to transmission.

/// Of one connection; a request counts until its reply has been sent.
inline constexpr std::size_t requests_in_flight_max = 128;
inline constexpr std::size_t connection_bytes_max = 64U << 20;
/// Data that is read before what has been read is sent: while it is still in the cache.
inline constexpr std::size_t read_ahead_bytes_max = 256U << 10;

/// Of one shard: data of requests and replies.
inline constexpr std::size_t shard_buffer_bytes = 256U << 20;
/// Kept for reuse by a shard when nobody needs them.
inline constexpr std::size_t cached_buffer_bytes = 32U << 20;
/// Reads that hold bytes of a memory store, each up to 64 KiB, until their replies are sent.
inline constexpr std::size_t loans_per_shard = 1024;
/// What one receive call takes at most beyond the payload it is in.
inline constexpr std::size_t receive_bytes = 256U << 10;
/// What one turn of a shard takes up before it works off what it has.
inline constexpr std::size_t handlers_per_turn = 256;
/// Turns of busy connections alone, before a shard looks at everything else.
inline constexpr std::size_t looks_in_a_row = 8;
/// Receive calls that throw away what a client sent behind its end, before its socket is closed.
inline constexpr int unread_receives_max = 16;
/// What a TLS connection encrypts for one send call: half of what is read ahead, with the heads. If
/// it were a little less, the rest would cost a call of its own and wake the client. What the
/// socket does not take waits in memory of the connection's own, and with it what TLS itself has to
/// say, in the bound that follows.
inline constexpr std::size_t tls_batch_bytes = read_ahead_bytes_max / 2 + (4U << 10);
inline constexpr std::size_t tls_unsent_bytes_max = tls_batch_bytes + (64U << 10);
/// The most that one record carries (RFC 8446, 5.1).
inline constexpr std::size_t tls_record_bytes = 16U << 10;

/// Of a file of pre-shared keys. OpenSSL takes names of 128 bytes at most.
inline constexpr std::size_t psk_name_bytes_max = 128;
inline constexpr std::size_t psk_bytes_min = 16;
inline constexpr std::size_t psk_bytes_max = 64;

/// Pieces of one gathered send.
inline constexpr std::size_t send_pieces = 256;

inline constexpr std::size_t threads_per_file = 4;

/// Of one shard: calls that io_uring has not ended.
inline constexpr unsigned ring_calls_max = 256;

/// Of a connection to a remote store, until its handshake is done; and between two attempts.
inline constexpr std::chrono::seconds remote_connect_time{5};
inline constexpr std::chrono::milliseconds remote_pause_min{50};
inline constexpr std::chrono::milliseconds remote_pause_max{1000};
inline constexpr std::chrono::seconds remote_look_time{60};    // When nothing is to be done.
inline constexpr std::chrono::milliseconds accept_pause{100};  // When descriptors run out.

/// A peer that vanished without a word is noticed after about this long: before the kernel client,
/// which counts from the same moment, sends again on another connection [O-2].
inline constexpr std::chrono::seconds keepalive_idle{10};
inline constexpr std::chrono::seconds keepalive_interval{5};
inline constexpr int keepalive_probes = 2;
inline constexpr std::chrono::seconds kernel_resend_time{30};

// The kernel rounds each wait up, and a reply that was on its way starts the count anew.
static_assert(keepalive_idle + keepalive_probes * keepalive_interval <= kernel_resend_time * 2 / 3);
static_assert(connection_bytes_max >= 2 * nbd::payload_bytes_max);
static_assert(shard_buffer_bytes >= connection_bytes_max);

}  // namespace server::limits
