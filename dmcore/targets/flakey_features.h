#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dmcore/target.h"

namespace dmcore {

/// What flakey does while it is down (dm-semantics 7.3.1), as Linux 6.12 reads it.
struct FlakeyFeatures {
    /// Byte `nth` (from 1) of a clone becomes `value`.
    struct CorruptByte {
        std::uint32_t nth = 0;
        bool write = false;
        std::uint8_t value = 0;
        std::uint32_t flags = 0;  // All of these must be set on the clone; only FUA ever is [F-18].

        bool matches(const Bio& bio) const noexcept;
    };
    static constexpr std::uint32_t always = 1'000'000'000;  // Rates are in 10^-9.

    FlakeyFeatures() = default;
    /// Reads `<count> <word>...` from word `first` on; throws TableError [F-1]...[F-7].
    FlakeyFeatures(const TargetArgs& args, std::size_t first);

    bool corrupts_reads() const noexcept {
        return (corrupt_byte && !corrupt_byte->write) || random_read_corrupt != 0;
    }
    bool corrupts_writes() const noexcept {
        return (corrupt_byte && corrupt_byte->write) || random_write_corrupt != 0;
    }
    /// `<count>[ <word>...]` in dm's fixed order (7.3.4).
    std::string text() const;

    bool error_reads = false;
    bool drop_writes = false;
    bool error_writes = false;
    std::optional<CorruptByte> corrupt_byte;
    std::uint32_t random_read_corrupt = 0;
    std::uint32_t random_write_corrupt = 0;

  private:
    std::size_t read_one(const TargetArgs& args, std::size_t at, std::size_t end);
    void set_once(const TargetArgs& args, bool& flag, std::size_t at) const;
    void check(const TargetArgs& args, std::size_t first) const;
};

}  // namespace dmcore
