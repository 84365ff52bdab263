#include "config/build.h"

#include "dmcore/random.h"

namespace config {
namespace {

/// FNV-1a: the same stream for a name in every build, unlike std::hash.
std::uint64_t hash_of(const std::string& name) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash;
}

}  // namespace

dmcore::DeviceOptions options_of(const DeviceSpec& device) {
    dmcore::DeviceOptions options;
    options.retry = device.retry;
    options.read_only = device.read_only;
    options.block_bytes = device.block_bytes;
    return options;
}

dmcore::TableSet build_tables(const DeviceSpec& device, std::span<const dmcore::ShardSeams> shards,
                              dmcore::Time loaded_at, std::uint64_t seed, const FindOpen& find) {
    dmcore::TableSet set;
    set.shared = std::make_shared<dmcore::TableShared>();
    set.shared->rows = device.rows;
    set.shared->device_name = device.name;
    set.shared->below = device.below;
    set.shared->loaded_at = loaded_at;
    set.shared->seed = dmcore::mixed_seed(seed, hash_of(device.name), 0);
    for (unsigned i = 0; i < shards.size(); ++i) {
        set.lanes.push_back(std::make_unique<dmcore::Table>(
            set.shared, i, *shards[i].agenda, *shards[i].clock,
            [&](const std::string& name) { return find(name, i); }));
    }
    return set;
}

}  // namespace config
