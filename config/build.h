#pragma once

#include <functional>
#include <span>
#include <string>

#include "config/spec.h"
#include "dmcore/mapped_device.h"

namespace config {

/// Finds a store or device of a shard, with what it will be able to do once the table is live;
/// without a device: there is none.
using FindOpen = std::function<dmcore::Lower(const std::string& name, unsigned shard)>;

dmcore::DeviceOptions options_of(const DeviceSpec& device);

/// A loaded table of `device`, one copy for every shard. `loaded_at` is now, by the shards' clocks.
/// `seed` is the file's; each device draws from a stream of its own. Any thread: what is below is
/// only noted, so it need not be quiet, nor live yet. Throws dmcore::TableError for what check()
/// could not see, such as a store that turned out smaller.
dmcore::TableSet build_tables(const DeviceSpec& device, std::span<const dmcore::ShardSeams> shards,
                              dmcore::Time loaded_at, std::uint64_t seed, const FindOpen& find);

}  // namespace config
