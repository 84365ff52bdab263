#pragma once

#include <cstdlib>
#include <string>

namespace server {

/// The value of a variable that is meant for this process alone, empty if there is none. Children
/// do not see it. On the main thread, before there are others.
inline std::string take_variable(const char* name) {
    const char* value = std::getenv(name);
    std::string text = value == nullptr ? "" : value;
    ::unsetenv(name);
    return text;
}

}  // namespace server
