#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "dmcore/mapped_device.h"
#include "server/device_steps.h"

namespace server {

/// A mapped device as it is served.
struct Device {
    Device(const std::string& name, dmcore::Executor& executor,
           std::span<const dmcore::ShardSeams> shards, const dmcore::DeviceOptions& options)
        : mapped(name, executor, shards, options), steps(mapped) {}

    dmcore::MappedDevice mapped;            // Of the control thread, as are...
    DeviceSteps steps;                      // ...its steps.
    std::atomic<std::uint32_t> clients{0};  // By whatever export. Any thread.
};

}  // namespace server
