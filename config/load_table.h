#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/diagnostic.h"
#include "config/source.h"
#include "config/spec.h"
#include "dmcore/device.h"

namespace config {

/// A table as somebody wrote it for a device that is there already.
struct TableText {
    enum class Form : std::uint8_t {
        dm,        // Lines as `dmsetup table NAME` prints them.
        segments,  // YAML, or JSON: a map with `table`, and `map`, as of a device in a table file.
    };
    Form form = Form::dm;
    std::string text;
};

/// A store or device that a new table may stand on.
struct Standing {
    std::string name;
    bool is_device = false;
    dmcore::Limits limits;
    std::vector<std::string> below{};  // What all of a device's tables stand on.
};

/// A table that is fit to be built. Its places point into its source.
struct LoadedTable {
    std::shared_ptr<const Source> source;
    DeviceSpec device;
};

/// Reads and checks a new table for `device`, of which only the rows are replaced. `standing` is
/// all that there is, `device` included. Variables of the environment are as good as unset. Nothing
/// if there are errors; `found` has them all.
std::optional<LoadedTable> load_table(const DeviceSpec& device, const TableText& table,
                                      const std::vector<Standing>& standing, Diagnostics& found);

}  // namespace config
