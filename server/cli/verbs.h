#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dmcore/clock.h"
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
    std::string name;       // Of a device, or of a target; empty: all.
    bool tree = false;      // Of `ls`.
    bool columns = false;   // Of `info`.
    bool yaml = false;      // Of `table`: as a table file has it.
    bool inactive = false;  // Of `table`, `status` and `deps`.
};
int ls(const LookArgs& args, Console& console);
int table(const LookArgs& args, Console& console);
int status(const LookArgs& args, Console& console);
int info(const LookArgs& args, Console& console);
int deps(const LookArgs& args, Console& console);
int exports(const LookArgs& args, Console& console);
int targets(const LookArgs& args, Console& console);

// steps.cc: dm's own steps on one device. Like dmsetup they print nothing when all is well.

struct StepArgs {
    std::string control;
    bool json = false;  // Print the device as it is then.
    std::string device;
    bool noflush = false;              // Of `suspend` and `resume`.
    std::optional<std::string> table;  // Of `load`: its text...
    std::string file;                  // ...or where it is; neither, or "-": standard input.
    std::uint64_t sector = 0;          // Of `message`...
    std::vector<std::string> words;    // ...and what it says.
};
int load(const StepArgs& args, Console& console);
int clear(const StepArgs& args, Console& console);
int suspend(const StepArgs& args, Console& console);
int resume(const StepArgs& args, Console& console);
int message(const StepArgs& args, Console& console);

// apply.cc: the table file of a running server.

struct ApplyArgs {
    std::string control;
    bool json = false;
    std::string file;        // "-": standard input.
    bool exit_code = false;  // Of `plan`: 10 if there are changes.
    bool allow_shrink = false;
    bool allow_data_loss = false;
    std::optional<dmcore::Time> timeout;
};
int plan(const ApplyArgs& args, Console& console);
int apply(const ApplyArgs& args, Console& console);
/// Prints the JSON Schema of table files.
int schema(Console& console);

// stats.cc

struct StatsArgs {
    std::string control;
    bool json = false;
    std::string device;
    bool sysfs = false;                    // The kernel's 17 columns.
    std::optional<dmcore::Time> interval;  // Print again and again...
    std::optional<std::uint64_t> count;    // ...this often; for ever if not given.
};
int stats(const StatsArgs& args, Console& console);

// wait.cc

struct WaitArgs {
    std::string control;
    bool json = false;
    std::string device;
    std::optional<std::uint64_t> event;   // Seen last; the current one if not given.
    std::optional<dmcore::Time> timeout;  // For ever if not given.
};
int wait(const WaitArgs& args, Console& console);

// top.cc

struct TopArgs {
    std::string control;
    bool json = false;
    bool once = false;
    std::optional<dmcore::Time> interval;
};
int top(const TopArgs& args, Console& console);

// clients.cc

struct ClientArgs {
    std::string control;
    bool json = false;
    std::uint64_t id = 0;  // Of `clients drop`.
};
int clients(const ClientArgs& args, Console& console);
int drop_client(const ClientArgs& args, Console& console);

// attach.cc

struct AttachArgs {
    std::string control;
    bool json = false;  // What happens, an object a line.
    std::string export_name;
    std::string device;  // "/dev/nbdN"
    std::string server;  // Empty: where the one that `control` finds listens.
    std::optional<unsigned> connections;
    std::optional<std::uint64_t> block_bytes;
    std::optional<dmcore::Time> timeout;
    std::optional<dmcore::Time> dead_timeout;
    bool force = false;  // Of `detach`.
};
/// Returns when the device is detached again.
int attach_device(const AttachArgs& args, Console& console);
int detach_device(const AttachArgs& args);

// completion.cc

/// Prints the script that completes dmnbd's words in bash.
int bash_completion(Console& console);

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
