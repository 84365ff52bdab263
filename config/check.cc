#include "config/check.h"

#include <algorithm>

#include "config/checks.h"
#include "config/closest.h"
#include "config/values.h"

namespace config {
void check_block_size(Checking& checking, const DeviceSpec& device) {
    const std::uint64_t block_sectors = device.block_bytes / dmcore::sector_bytes;
    if (device.size_sectors % block_sectors == 0) return;
    checking.found.error(
        device.position,
        {"block-size",
         "device " + in_quotes(device.name) + " has " + std::to_string(device.size_sectors) +
             " sectors, no multiple of its block_size " + std::to_string(device.block_bytes),
         {},
         "make it " + sectors_text(device.size_sectors / block_sectors * block_sectors) + " long"});
}

void check(Spec& spec, Diagnostics& found) {
    Checking checking{spec, found, {}};
    check_stores(checking);
    check_references(checking);
    check_order(checking);
    for (const std::size_t index : spec.build_order) {
        DeviceSpec& device = spec.devices[index];
        if (!complete_rows(checking, device)) continue;
        check_block_size(checking, device);
        try_table(checking, device);
    }
    check_exports(checking);
    check_tls_uses(checking);
    if (found.ok()) warn(checking);
}

void check_exports(Checking& checking) {
    const Spec& spec = checking.spec;
    std::vector<std::string_view> devices;
    devices.reserve(spec.devices.size());
    for (const DeviceSpec& device : spec.devices) devices.push_back(device.name);
    std::vector<std::string_view> names;
    for (const ExportSpec& one : spec.exports) {
        const std::string what = export_subject(one.name);
        if (std::find(names.begin(), names.end(), one.name) != names.end()) {
            checking.found.error(
                one.position,
                {"duplicate-name", what + " is given twice", {}, "rename one of the two"});
        }
        names.push_back(one.name);
        if (spec.find_device(one.device) != nullptr) continue;
        if (spec.find_store(one.device) != nullptr) {
            checking.found.error(
                one.device_position,
                {"store-exported",
                 what + ": " + in_quotes(one.device) + " is a store, not a device",
                 {},
                 "export a device over it: table: [ { target: linear, args: { device: " +
                     one.device + " } } ]"});
            continue;
        }
        checking.found.error(one.device_position,
                             {"unknown-device",
                              what + ": there is no device " + in_quotes(one.device),
                              did_you_mean(one.device, devices),
                              {}});
    }
    for (const ListenSpec& listen : spec.listen) {
        for (const std::string& name : listen.exports) {
            if (std::find(names.begin(), names.end(), name) != names.end()) continue;
            checking.found.error(listen.position, {"unknown-export",
                                                   "listen " + in_quotes(listen.uri) +
                                                       ": there is no export " + in_quotes(name),
                                                   did_you_mean(name, names),
                                                   {}});
        }
    }
}

bool same_use(const StoreSpec& a, const StoreSpec& b) noexcept {
    return a.type == b.type && a.size_sectors == b.size_sectors && a.discard == b.discard &&
           a.direct == b.direct && a.engine == b.engine && a.uri == b.uri &&
           a.connections == b.connections && a.reconnect == b.reconnect &&
           a.trust_restart == b.trust_restart && a.timeout == b.timeout && a.tls == b.tls;
}

std::string_view name_of(StoreSpec::Type type) noexcept {
    switch (type) {
        case StoreSpec::Type::file: return "file";
        case StoreSpec::Type::nbd: return "nbd";
        case StoreSpec::Type::memory: break;
    }
    return "memory";
}

std::string_view name_of(StoreSpec::Engine engine) noexcept {
    switch (engine) {
        case StoreSpec::Engine::threads: return "threads";
        case StoreSpec::Engine::io_uring: return "io_uring";
        case StoreSpec::Engine::automatic: break;
    }
    return "auto";
}

const StoreSpec* Spec::find_store(std::string_view name) const noexcept {
    const auto found = std::find_if(stores.begin(), stores.end(),
                                    [&](const StoreSpec& one) { return one.name == name; });
    return found == stores.end() ? nullptr : &*found;
}

const DeviceSpec* Spec::find_device(std::string_view name) const noexcept {
    const auto found = std::find_if(devices.begin(), devices.end(),
                                    [&](const DeviceSpec& one) { return one.name == name; });
    return found == devices.end() ? nullptr : &*found;
}

}  // namespace config
