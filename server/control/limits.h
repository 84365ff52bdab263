#pragma once

#include <chrono>
#include <cstddef>

#include "server/event_feed.h"

/// Every bound of the control plane. They hold for each listener, so that strangers on TCP can't
/// keep the owner of the unix socket out.
namespace server::control::limits {

inline constexpr unsigned connections_max = 256;
/// From here on, each new connection costs the one that has been idle longest. Below what is open
/// at most, so that there is always room to accept.
inline constexpr std::size_t crowd_max = 192;
/// A call that waits for the shards holds a thread; the others answer the probes meanwhile.
inline constexpr unsigned threads = 4;
inline constexpr unsigned idle_seconds_max = 30;
inline constexpr std::size_t connection_bytes = 16U << 10;  // Request line, headers, reply headers.
inline constexpr std::size_t body_bytes_max = 64U << 10;
inline constexpr int body_depth_max = 16;  // Of JSON.
/// A table is as long and as deep as a table file may be.
inline constexpr std::size_t table_bytes_max = 16U << 20;
inline constexpr int table_depth_max = 64;
/// At work at a time. Each has a thread, because it may wait for I/O.
inline constexpr unsigned changes_max = 64;
/// Calls that wait until something happens. They take no place from the changes that end them.
inline constexpr unsigned waits_max = 64;
inline constexpr std::chrono::seconds wait_time_max{30};

static_assert(changes_max + waits_max + EventFeed::readers_max < crowd_max);
static_assert(crowd_max < connections_max);

}  // namespace server::control::limits
