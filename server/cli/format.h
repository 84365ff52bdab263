#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "dmcore/target.h"

/// What verbs print, from what the control API said. Pure functions. A key that is missing throws
/// nlohmann's exception.
namespace server::cli {

using Json = nlohmann::ordered_json;

/// A count, in digits.
std::string count_text(const Json& number);

/// `ls --tree`: devices that nothing stands on, each with what is below it. What has been shown
/// before is not unfolded again.
std::string tree_text(const Json& devices, const Json& stores);

/// `info -c`.
std::string info_columns(const Json& devices);

/// `info`: blocks as of dmsetup.
std::string info_blocks(const Json& devices);

/// `exports`.
std::string exports_text(const Json& exports);

/// `clients`.
/// One export in full: what clients are told of it, and why.
std::string export_block(const Json& served);
std::string clients_text(const Json& clients);

/// `deps` of one device, without its name.
std::string deps_text(const Json& names);

/// `stats`: all counters of one device.
std::string stats_text(const Json& stats);

/// Each line of `text` after `prefix`; a text without lines is one empty line.
std::string prefixed(const std::string& text, const std::string& prefix);

/// The rows of `dm` text that do not say all that `rows`, the table of the API, say. Each as its
/// full line.
std::vector<std::string> rows_dm_cannot_say(const std::string& dm, const Json& rows);

/// `targets`.
std::string targets_text(std::span<const dmcore::TargetType* const> types);
/// `targets NAME`: how its arguments are written.
std::string target_text(const dmcore::TargetType& type);

/// Rows as columns, the first row being the header. Letters of `align`: l or r, one a column.
std::string columns(const std::vector<std::vector<std::string>>& rows, std::string_view align);

}  // namespace server::cli
