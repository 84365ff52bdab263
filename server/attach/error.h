#pragma once

#include <stdexcept>
#include <string>

namespace server::attach {

/// Why something of an attached device was not done. The message says what is wrong and where, the
/// help what to do about it; it may be empty.
struct AttachError : std::runtime_error {
    enum class Kind {
        failed,
        usage,
        no_server,    // Nobody answers there, or no longer.
        no_such,      // Export or attached device.
        in_use,       // The device is another's already, or somebody uses it.
        other_bytes,  // A server has come back with other data behind the export, or less.
    };

    AttachError(Kind kind_, const std::string& message, std::string help_ = {})
        : std::runtime_error(message), kind(kind_), help(std::move(help_)) {}

    Kind kind;
    std::string help;
};

}  // namespace server::attach
