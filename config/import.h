#pragma once

#include <optional>
#include <string>

#include "config/diagnostic.h"

namespace config {

/// A table file that stands for what `dmsetup table` or `dmsetup table --concise` printed. Devices
/// that are not in the text become file stores, big enough, named after what the text calls them;
/// the comments say which. Nothing, and reports, if a line is none or its target is not ours. Lines
/// without "NAME: " in front are one device, "pasted".
std::optional<std::string> import_dm(const std::string& text, Diagnostics& found);

}  // namespace config
