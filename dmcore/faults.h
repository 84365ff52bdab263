#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dmcore {

/// What a target does wrong on purpose. A delay is no fault: all is done as asked.
enum class Fault : std::uint8_t {
    error_reads,   // Of flakey while it is down, as the next three.
    error_writes,  // Whatever is no read.
    drop_writes,   // Likewise.
    corrupt,       // Of a read or write.
    bad_block,     // Of dust.
    error,         // Of the target of that name.
};
inline constexpr std::array<std::string_view, 6> fault_names = {
    "error_reads", "error_writes", "drop_writes", "corrupt", "bad_block", "error"};

/// How often each has been done to a part, or a clone of it; tries are counted, too.
struct FaultCounts {
    std::array<std::uint64_t, fault_names.size()> counts{};

    std::uint64_t& operator[](Fault fault) noexcept {
        return counts[static_cast<std::size_t>(fault)];
    }
    void add(const FaultCounts& other) noexcept {
        for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    }
};

}  // namespace dmcore
