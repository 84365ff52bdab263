#pragma once

#include <cstdint>

#include "dmcore/clock.h"
#include "dmcore/status.h"

namespace dmcore {

/// When a failed part is run again before the submitter hears of it (user-experience 2, `retry`).
struct RetryPolicy {
    static constexpr std::uint32_t unlimited = UINT32_MAX;

    StatusSet errors;                            // Failures worth another attempt.
    std::uint32_t attempts = unlimited;          // How often a part is run again at most.
    Time delay = std::chrono::milliseconds(20);  // Before the second retry; the first is at once.
    double backoff = 2.0;                        // Factor from each delay to the next, >= 1.
    Time max_delay = std::chrono::milliseconds(500);
    // From the first failure, or since a remote store was last disconnected; gate-open time only.
    Time deadline = std::chrono::seconds(10);
    std::uint64_t queue_bytes = 64ULL << 20;  // Waiting at most; beyond it sockets are not read.

    friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

/// `retry: {}`: every error but those that will not change by asking again.
RetryPolicy default_retry() noexcept;
/// No `retry` key: only transient conditions of a store.
RetryPolicy transient_retry() noexcept;
/// `retry: none`.
RetryPolicy no_retry() noexcept;

}  // namespace dmcore
