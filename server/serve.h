#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/spec.h"

namespace server {

/// What the command line adds to a table file.
struct ServeOptions {
    std::string table_path;             // Of the table file; empty: it is embedded.
    bool watch = true;                  // Reload it when it changes, if it says so, too.
    std::vector<std::string> listen;    // Instead of the file's; empty: the file's.
    std::optional<std::uint64_t> seed;  // Before the file's.
    std::optional<unsigned> shards;     // Before the file's.
    std::string control_path;           // Unix socket; empty: the file's, or the default.
    std::string run;                    // Command to run with $uri set; its exit code is ours.
    std::string banner;                 // First line on stdout says this after version and seed.
    std::vector<std::string> hints;     // Lines before "ready".
};

/// Serves until SIGTERM or SIGINT, or until `run` ends. Returns the exit code (user-experience 1).
/// Problems at the start are told on stderr.
int serve(const config::Spec& spec, const ServeOptions& options);

}  // namespace server
