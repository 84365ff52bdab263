#pragma once

#include <span>
#include <string_view>

namespace golden {

/// Where we differ from the kernel on purpose. The replay looks each one up by its id and lets pass
/// what `what` says, and nothing else.
struct Choice {
    std::string_view id;  // Of the rule, see test/rules.
    std::string_view what;
    std::string_view why;
};

inline constexpr Choice choices[] = {
    {"D-4",
     "a table that the kernel loads and then refuses at resume with EINVAL is refused at load with "
     "EINVAL; instead of the resume, which leaves the kernel's device suspended, ours is suspended",
     "a table is checked wholly before it gets a slot, so that no resume leaves a device "
     "suspended"},
    {"D-7",
     "a device below unstriped counts one write more for each flush that the recording sent to the "
     "device above",
     "unstriped passes flushes on; the kernel's swallows them, which loses what was to be durable"},
};

inline std::span<const Choice> all_choices() {
    return choices;
}

}  // namespace golden
