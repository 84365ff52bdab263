#pragma once

#include <chrono>

#include "server/limits.h"

/// Every bound and time of an attached device.
namespace server::attach {

inline constexpr unsigned connections_max = 64;
inline constexpr unsigned connections_default = 4;

/// How long a server may let us wait until a connection is in its export, and until all that are
/// lost are back; signals wait as long.
inline constexpr std::chrono::milliseconds patience{5000};
/// Between two looks at the export's size and identity, or tries to reconnect.
inline constexpr std::chrono::milliseconds look_interval{1000};
inline constexpr std::chrono::milliseconds reconnect_interval{250};

/// The kernel sends a request again on another connection when it was not answered for so long, or
/// for what the server says it may take and some more. A server of ours has by then ended what came
/// over a dead connection [O-2].
inline constexpr std::chrono::seconds timeout_default = limits::kernel_resend_time;
inline constexpr std::chrono::seconds timeout_margin{10};
/// How long requests wait for a server to come back.
inline constexpr std::chrono::seconds dead_timeout_default{60};

/// What is written and not yet sent gets so long before the device is detached.
inline constexpr std::chrono::seconds sync_time{10};
/// Others may have the device open for a moment, as udev has.
inline constexpr std::chrono::seconds release_time{10};
inline constexpr std::chrono::seconds busy_time{2};

/// The least that the kernel's largest request may be set to: those of the driver are that large.
inline constexpr unsigned request_bytes = 128U << 10;

}  // namespace server::attach
