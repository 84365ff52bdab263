#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/diagnostic.h"
#include "config/diff.h"

namespace server {

/// A reload that was not made. Nothing has changed.
struct ReloadError : std::runtime_error {
    enum class Kind : std::uint8_t {
        refused,   // Somebody would lose something, or it is in use: exit code 5.
        failed,    // A step could not be done: exit code 1.
        late,      // I/O in flight did not end in time: exit code 1.
        stale,     // It was meant for another generation.
        stopping,  // The server is.
    };

    ReloadError(Kind kind_, std::string slug_, const std::string& message, std::string help_ = {})
        : std::runtime_error(message),
          kind(kind_),
          slug(std::move(slug_)),
          help(std::move(help_)) {}

    Kind kind;
    std::string slug;  // Stable: "data-loss".
    std::string help;  // The flag that allows it, or the fix. May be empty.
};

struct ApplyOptions {
    bool allow_shrink = false;
    bool allow_data_loss = false;
    std::chrono::nanoseconds timeout = std::chrono::seconds(10);  // Of the suspend.
    std::optional<std::uint64_t> if_generation{};                 // Only if this one is live.
};

struct Applied {
    std::vector<config::Change> changes{};
    std::uint64_t generation = 0;
    std::chrono::nanoseconds pause{};  // From the first gate that closed to the last that opened.
    std::string note{};                // What whoever asked should know. May be empty.
};

/// The table file behind the running program, as the control API sees it. Any thread but the
/// shards'; calls wait for each other.
class LiveConfig {
  public:
    virtual ~LiveConfig() = default;

    struct Live {
        std::string yaml;
        std::uint64_t generation = 0;  // Rises with every change of what is live.
    };
    /// All that is live, to be saved and loaded again: tables that were loaded by hand, too.
    virtual Live live() = 0;

    /// How reloads have ended, by whatever they were asked for.
    struct Reloads {
        std::uint64_t generation = 0;
        std::uint64_t successes = 0;
        std::uint64_t failures = 0;
        bool last_successful = true;  // The start counts as one.
        std::chrono::system_clock::time_point last_success{};
    };
    virtual Reloads reloads() = 0;

    /// A table file that somebody sent, called `name` in messages. Relative paths, includes and
    /// variables are the server's; what it may read and open is bound by `data_roots`.
    struct Sent {
        std::string name;
        std::string text;
    };
    /// Says what is wrong with it and what to know about it. `good`: it could be applied.
    struct Checked {
        bool good = false;
        config::Diagnostics found;
    };
    virtual Checked check(const Sent& sent) = 0;
    /// What applying it would change. Throws BadTable.
    virtual std::vector<config::Change> plan(const Sent& sent) = 0;
    /// Makes it live, all or nothing. Throws BadTable and ReloadError.
    virtual Applied apply(const Sent& sent, const ApplyOptions& options) = 0;
};

}  // namespace server
