#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace server::cli {

/// Runs the program: `arguments` without its name. Returns the exit code (user-experience 1). Data
/// goes to `out`, everything else to `err`, which stand for the process's own descriptors 1 and 2.
int run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

}  // namespace server::cli
