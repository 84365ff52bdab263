#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "server/nbd/request.h"

namespace server::nbd {

/// How long requests took, from their header to their reply: a histogram.
struct Durations {
    using Time = std::chrono::nanoseconds;
    static constexpr std::array<Time, 16> bounds = {
        std::chrono::microseconds(100),  std::chrono::microseconds(250),
        std::chrono::microseconds(500),  std::chrono::milliseconds(1),
        std::chrono::microseconds(2500), std::chrono::milliseconds(5),
        std::chrono::milliseconds(10),   std::chrono::milliseconds(25),
        std::chrono::milliseconds(50),   std::chrono::milliseconds(100),
        std::chrono::milliseconds(250),  std::chrono::milliseconds(500),
        std::chrono::seconds(1),         std::chrono::milliseconds(2500),
        std::chrono::seconds(5),         std::chrono::seconds(10)};

    /// Each holds those that are above the bound before and not above its own; the last has none.
    std::array<std::uint64_t, bounds.size() + 1> counts{};
    Time sum{};

    void add(Time time) noexcept;
    void add(const Durations& other) noexcept;
    std::uint64_t count() const noexcept;
};

/// What the requests on one export have come to; every request that was answered counts once. Of
/// one shard, and used there.
struct alignas(64) RequestCounts {
    static constexpr std::array<std::string_view, 6> ops = {"read", "write", "flush",
                                                            "trim", "zero",  "other"};
    static constexpr std::array<NbdError, 8> errors = {
        NbdError::not_permitted, NbdError::io,       NbdError::no_memory,     NbdError::invalid,
        NbdError::no_space,      NbdError::overflow, NbdError::not_supported, NbdError::shutdown};
    static constexpr std::array<std::string_view, 8> error_names = {
        "EPERM", "EIO", "ENOMEM", "EINVAL", "ENOSPC", "EOVERFLOW", "ENOTSUP", "ESHUTDOWN"};

    struct Op {
        Durations durations;
        std::array<std::uint64_t, errors.size()> failed{};
    };
    std::array<Op, ops.size()> by_op;

    void add(Command command, NbdError error, Durations::Time time) noexcept;
    void add(const RequestCounts& other) noexcept;
};

}  // namespace server::nbd
