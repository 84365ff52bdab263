#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/cli/client.h"
#include "server/cli/console.h"
#include "server/serve.h"

/// The verbs of the command line. Each prints, and returns an exit code or throws a Failure.
namespace server::cli {

// serve.cc

struct ServeArgs {
    std::string file;    // Of `serve`.
    bool print = false;  // Of `demo`: the table instead of serving it.
    std::string control;
    ServeOptions options;  // control_path, banner and hints are filled in by the verb.
};
int serve(ServeArgs args, Console& console);
int demo(ServeArgs args, Console& console);

// check.cc

enum class CheckFormat { human, brief, json };
struct CheckArgs {
    std::vector<std::string> files;
    CheckFormat format = CheckFormat::human;
    bool strict = false;
};
int check(const CheckArgs& args, Console& console);

// import.cc

/// Turns dm table text on standard input into a table file on standard output.
int import_table(Console& console);

// look.cc

struct LookArgs {
    std::string control;
    bool json = false;
    std::string name;      // Of a device, or of a target; empty: all.
    bool tree = false;     // Of `ls`.
    bool columns = false;  // Of `info`.
};
int ls(const LookArgs& args, Console& console);
int table(const LookArgs& args, Console& console);
int status(const LookArgs& args, Console& console);
int info(const LookArgs& args, Console& console);
int exports(const LookArgs& args, Console& console);
int targets(const LookArgs& args, Console& console);

// replay.cc

struct ReplayArgs {
    std::string log;
    bool json = false;
    std::string onto;                      // Empty: list the entries.
    std::optional<std::string> to_mark;    // How far...
    std::optional<std::uint64_t> entries;  // ...at most one of these; none: to the end.
    bool to_end = false;
    std::uint64_t from = 0;
};
/// Lists what a log of log-writes holds, or does it again.
int replay_log(const ReplayArgs& args, Console& console);

// health.cc

struct HealthArgs {
    std::string control;
    bool json = false;
    bool ready = false;
};
int health(const HealthArgs& args, Console& console);

}  // namespace server::cli
