#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// What tells the data of one store from that of another, also after the server has been started
/// again: a client that comes back must find what it left. Any thread.
namespace server {

/// A random number that is the same as long as this program runs.
std::uint64_t this_run();

/// "memory:..." of a store that begins its life: no other has it, in this run or another.
std::string new_memory_identity();

/// "file:..." of what is open as `fd`: the machine's boot, device, inode and time of birth. Of the
/// boot, because what no flush has covered ends with it; of birth, because inodes are used again.
std::string file_identity(int fd);

/// Of a device that stands on these, in this order: short whatever their number, and the same in
/// every build of the program. Empty if one of them is: then it is not known.
std::string stack_identity(const std::string& device, const std::vector<std::string>& below);

}  // namespace server
