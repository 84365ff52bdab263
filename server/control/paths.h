#pragma once

#include <stdexcept>
#include <string>

/// Where a server and its command line meet when nobody says where (user-experience 1):
/// control.sock in the first usable of $RUNTIME_DIRECTORY, /run/dmnbd, $XDG_RUNTIME_DIR/dmnbd and
/// /tmp/dmnbd-UID.
namespace server::control {

/// For a server: makes the folder with mode 0700 if need be. Throws std::runtime_error if none is
/// usable; a folder of another user is not.
std::string make_default_path();

/// For a client: the first socket that is there, in a folder of this user or root. Empty: none.
std::string find_default_path();

}  // namespace server::control
