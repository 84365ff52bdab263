#pragma once

#include <string>

namespace server::cli {

/// A table: all of a file, or of standard input for "-". Throws Failure, also for one that is
/// longer than the server takes.
std::string read_table(const std::string& file);

}  // namespace server::cli
