#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "config/diagnostic.h"
#include "config/spec.h"
#include "dmcore/device.h"

/// The steps of check(), in their order. Each reports what it finds and leaves out what an earlier
/// report already explains.
namespace config {

/// What the steps share.
struct Checking {
    Spec& spec;
    Diagnostics& found;
    /// Of every store and device that is known to be good so far. The names are the spec's.
    std::unordered_map<std::string_view, dmcore::Limits> limits;
};

/// Sizes of stores; files that are missing, too small, or used twice [O-11].
void check_stores(Checking& checking);

/// Fills DeviceSpec::below; reports names that are taken twice or are nobody's.
void check_references(Checking& checking);

/// Fills Spec::build_order with all devices that are on no cycle; reports cycles and deep stacks.
void check_order(Checking& checking);

/// Fills in what segments left out, and reports where rows don't fit together or onto what is
/// below. True if the rows of `device` are complete and good.
bool complete_rows(Checking& checking, DeviceSpec& device);

/// Reports a complete device that is no whole number of its blocks.
void check_block_size(Checking& checking, const DeviceSpec& device);

/// Builds a dmcore::Table from the rows over placeholders, and reports what that finds wrong. If
/// all is well the device's limits become known.
void try_table(Checking& checking, DeviceSpec& device);

/// Exports and listeners that name what is not there.
void check_exports(Checking& checking);

/// `tls` of stores, exports and addresses: what no files, credentials or address can fulfil.
void check_tls_uses(Checking& checking);

/// Hears of each file that is read, by path and text.
using OnRead = std::function<void(const std::string& path, const std::string& text)>;

/// Reports files that can't be read, and fills in what the others hold.
void read_tls_files(TlsSpec& tls, Diagnostics& found, const OnRead& on_read);

/// What is valid but may surprise: faults that a retry hides, and how long clients may wait.
void warn(Checking& checking);

}  // namespace config
