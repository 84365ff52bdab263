#pragma once

#include "config/diagnostic.h"
#include "config/spec.h"

namespace config {

/// Judges a spec as a whole and completes it: references, cycles, sizes (of files that exist, too),
/// what segments left out, build order; then builds each table over placeholders, as the server
/// will over real devices. Opens nothing for writing. Reports into `found`; the spec is fit for use
/// if that is still ok().
void check(Spec& spec, Diagnostics& found);

}  // namespace config
