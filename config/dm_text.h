#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/values.h"
#include "dmcore/table.h"

namespace config {

/// Where Linux keeps the nodes of device-mapper's devices.
inline constexpr std::string_view mapper_folder = "/dev/mapper/";

/// A word of a line: what it says, and where it stands in the line (bytes, from 0).
struct Word {
    std::string text;
    std::size_t offset = 0;
    std::size_t length = 0;
};

/// The words of a line as dm splits them: at white space, a backslash makes the next character
/// literal, no quotes [T-6].
std::vector<Word> split_words(std::string_view line);

/// A line of dm table text that is none.
struct TextFault {
    static constexpr std::size_t whole_line = SIZE_MAX;

    std::size_t line = 0;           // From 0.
    std::size_t word = whole_line;  // From 0.
    ValueError why;
};

/// What `dmsetup table` prints of one device: lines `START LENGTH TARGET ARGS`, in sectors.
struct DmTable {
    std::vector<dmcore::RowSpec> rows;
    std::vector<std::uint32_t> lines;  // Of each row, from 0; blank lines and comments have no row.
    std::vector<TextFault> faults;     // At most `faults_max`.

    static constexpr std::size_t faults_max = 32;
};

/// Reads a million rows in well under a second. Whether rows fit together is not looked at.
DmTable parse_dm_text(std::string_view text);

}  // namespace config
