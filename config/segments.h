#pragma once

#include "config/section.h"
#include "config/spec.h"

namespace config {

/// Reads `table` and `map` of a device into its rows and their places. What was left out of a
/// segment stays 0 in its row, with an unwritten place, until the sizes below are known.
void read_table(Context& context, const Section& device, DeviceSpec& to);

}  // namespace config
