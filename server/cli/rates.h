#pragma once

#include <string>
#include <vector>

#include "dmcore/clock.h"
#include "server/cli/client.h"
#include "server/cli/terminal.h"

/// What devices do per second, from two looks at them. Pure functions.
namespace server::cli {

/// One device between two looks.
struct Rates {
    std::string name;
    double ios_per_s = 0;
    double mib_per_s = 0;
    double mean_ms = 0;        // Of the I/O that ended between the looks; 0 without any.
    double retried_per_s = 0;  // Parts issued again.
    std::uint64_t in_flight = 0;
    std::uint64_t deferred = 0;  // Now waiting for the gate.
};

/// `before` and `after` are a device or its stats as the API tells them, `time` apart. A device
/// that was made anew in between counts from its beginning.
Rates rates_of(const Json& before, const Json& after, dmcore::Time time);

/// A header and a row for each, in columns of fixed width while numbers are of usual size. The
/// names are left out if `named` is false.
std::string rates_text(const std::vector<Rates>& all, bool named);
Json json_of(const Rates& rates);

/// What `top` draws: at most as many lines as there are rows (1 or more), none wider than the
/// terminal. Devices that don't fit are counted in the last line.
std::vector<std::string> top_lines(const std::vector<Rates>& all, TerminalSize size, bool colour);

}  // namespace server::cli
