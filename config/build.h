#pragma once

#include <functional>
#include <span>
#include <string>

#include "config/spec.h"
#include "dmcore/mapped_device.h"

namespace config {

/// Finds a store or device that is open on a shard; null: there is none.
using FindOpen = std::function<dmcore::BlockDevice*(const std::string& name, unsigned shard)>;

/// Runs `what` on a shard, and waits for it.
using RunOnShard = std::function<void(unsigned shard, const std::function<void()>& what)>;

dmcore::DeviceOptions options_of(const DeviceSpec& device);

/// A loaded table of `device`: one copy for every shard, made there, because it looks at lanes that
/// are at work. What it stands on must be open and have its live table. `loaded_at` is now, by the
/// shards' clocks. `seed` is the file's; each device draws from a stream of its own. Throws
/// dmcore::TableError for what check() could not see, such as a store that turned out smaller.
dmcore::TableSet build_tables(const DeviceSpec& device, std::span<const dmcore::ShardSeams> shards,
                              dmcore::Time loaded_at, std::uint64_t seed, const FindOpen& find,
                              const RunOnShard& run);

}  // namespace config
