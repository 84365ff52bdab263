#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/spec.h"

namespace config {

/// One thing in which a wanted spec differs from what is live, for people and for what applies it.
struct Change {
    enum class Kind : std::uint8_t { add, change, remove };
    /// What is lost if it is made; it is then refused unless a flag allows it.
    enum class Risk : std::uint8_t { none, data_loss, shrink };

    Kind kind = Kind::change;
    std::string what;       // "device", "store", "export", "listen", or a top key: "control".
    std::string name;       // Empty for a top key.
    std::string summary{};  // "down: 1s -> 5s", "file ./disk2.img 1GiB".
    std::string effect{};   // What clients notice; may be empty.
    Risk risk = Risk::none;

    friend bool operator==(const Change&, const Change&) = default;
};

/// How many clients wait while a device changes, by its name. Without an entry: none.
using Clients = std::map<std::string, unsigned>;

/// All differences: devices, stores, exports, listen addresses, then the rest; of each what is
/// added or changed in the order of `wanted`, then what is removed. Where something was written
/// makes no difference. A device whose rows stay, but not what they stand on, changes as well. A
/// file store that only changes its name stays open, and that is said.
std::vector<Change> diff(const Spec& live, const Spec& wanted, const Clients& clients = {});

/// One line a change and a last one with their numbers, as `dmnbd plan` prints them; "no changes".
std::string plan_text(const std::vector<Change>& changes);

}  // namespace config
