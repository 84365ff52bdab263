#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "server/attach/driver.h"
#include "server/net/sockets.h"

/// /dev/nbdN and what the kernel shows of it.
namespace server::attach {

/// N of `/dev/nbdN`. Throws AttachError (usage).
unsigned device_index(std::string_view name);

std::string device_path(unsigned index);

/// Throws AttachError unless this process may use the driver, and it is there.
void require_driver();

/// Who attached the device; nothing: nobody has.
std::optional<pid_t> attached_by(unsigned index);

/// The device, open for reading. `exclusive`: in_use if a file system or the like has it. Throws
/// AttachError.
Socket open_device(unsigned index, bool exclusive);

/// Attaches. Throws AttachError: in_use; std::system_error.
void connect_device(Driver& driver, unsigned index, const Setup& setup);

/// Detaches: with `sync` what is written to the device goes out first, for sync_time at most; what
/// is in flight then fails. Closes `open`, which is the device, and waits until nobody has it, for
/// release_time at most. False: somebody still has it open.
bool detach_device(Driver& driver, unsigned index, Socket open, bool sync);

/// `dmnbd detach`: the process that keeps the device attached does it, and is waited for; if there
/// is none, the device is detached from here. `force`: also if something uses it. Throws
/// AttachError, std::system_error.
void detach(unsigned index, bool force);

}  // namespace server::attach
