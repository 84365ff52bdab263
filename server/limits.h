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
/// From here on only requests up to small_request_bytes get more, so that those who send large ones
/// and then stall can't stop everybody else...
inline constexpr std::size_t shard_buffer_bytes_tight = shard_buffer_bytes / 4 * 3;
inline constexpr std::size_t small_request_bytes = 256U << 10;
/// ...and a client that for so long has taken none of its replies, or sent nothing of a payload
/// that it has announced, is disconnected. Looked at that often.
inline constexpr std::chrono::seconds stall_time{30};
inline constexpr std::chrono::seconds stall_look_interval{1};
/// While clients are waited for, to go.
inline constexpr std::chrono::milliseconds client_look_interval{5};
/// Lines in the log about clients that were dropped: no more than one of a shard in that time.
inline constexpr std::chrono::seconds drop_log_interval{1};
/// Kept for reuse by a shard when nobody needs them.
inline constexpr std::size_t cached_buffer_bytes = 32U << 20;
/// Reads that hold bytes of a memory store, each up to 64 KiB, until their replies are sent.
inline constexpr std::size_t loans_per_shard = 1024;
/// What a connection may have beside the data of its requests: what was received and can't be taken
/// yet, its requests themselves, before them its options and their replies, and all of TLS.
inline constexpr std::size_t connection_overhead_bytes = 768U << 10;
/// What one receive call takes at most beyond the payload it is in: decrypted, and in plaintext.
/// Less of that is better: it is still in the cache when it is taken up, and the client hears the
/// first answers while the rest is worked off.
inline constexpr std::size_t receive_bytes = 256U << 10;
inline constexpr std::size_t plain_receive_bytes = 64U << 10;
/// What one turn of a shard takes up before it works off what it has.
inline constexpr std::size_t handlers_per_turn = 256;
/// How often one turn answers what it has and takes up more of what it has received, before the
/// shard looks at everything else: what a client has sent ahead may be thousands of requests.
inline constexpr std::size_t rounds_per_turn = 4;
/// How long a shard looks for what comes next before it sleeps, and how often in a row it must have
/// come within that time for the shard to do so.
inline constexpr std::chrono::microseconds spin_time{50};
inline constexpr unsigned short_waits_to_spin = 8;
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
/// which counts from the same moment, sends again on another connection [O-2]. So is one that takes
/// no replies, over TCP: in that time the kernel can't tell the two apart.
inline constexpr std::chrono::seconds keepalive_idle{10};
inline constexpr std::chrono::seconds keepalive_interval{5};
inline constexpr int keepalive_probes = 2;
inline constexpr std::chrono::seconds kernel_resend_time{30};

// The kernel rounds each wait up, and a reply that was on its way starts the count anew.
static_assert(keepalive_idle + keepalive_probes * keepalive_interval <= kernel_resend_time * 2 / 3);
/// What clients can make the server hold at most, beside what stores and tables do.
constexpr std::size_t memory_budget_bytes(std::size_t shards) {
    constexpr std::size_t loan_bytes = 64U << 10;  // Replaced under a reply that still needs it.
    constexpr std::size_t inquiries = shard_buffer_bytes / nbd::inquiry_room_bytes;
    return shards * (shard_buffer_bytes + cached_buffer_bytes + loans_per_shard * loan_bytes +
                     inquiries * nbd::inquiry_bytes) +
           connections_max * connection_overhead_bytes;
}

inline constexpr std::size_t openssl_bytes = 64U << 10;  // Of one connection, about.
static_assert(receive_bytes + nbd::option_data_bytes_max + 2 * nbd::handshake_output_bytes_max +
                  tls_unsent_bytes_max + openssl_bytes <=
              connection_overhead_bytes);
static_assert(connection_bytes_max >= 2 * nbd::payload_bytes_max);
static_assert(shard_buffer_bytes >= connection_bytes_max);
// What is large must fit whenever it may be had, and leave something for what is small.
static_assert(shard_buffer_bytes_tight + nbd::payload_bytes_max < shard_buffer_bytes);

}  // namespace server::limits
