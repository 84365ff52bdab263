#pragma once

#include "dmcore/status.h"
#include "server/nbd/wire.h"

namespace server::nbd {

/// The protocol's number for how an I/O ended. The protocol gives overflow and not_supported narrow
/// meanings that no store's error has, and discourages no_memory; those statuses become the nearest
/// number that fits (section "Error values" of its document).
NbdError error_from(dmcore::Status status) noexcept;

}  // namespace server::nbd
