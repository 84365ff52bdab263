#include <algorithm>
#include <limits>
#include <string>

#include "config/sections.h"
#include "config/segments.h"

namespace config {
namespace {

constexpr std::string_view store_types[] = {"memory", "file", "nbd"};
constexpr std::string_view memory_keys[] = {"type", "size"};
constexpr std::string_view file_keys[] = {"type",    "path",   "size",  "create",
                                          "discard", "engine", "direct"};
constexpr std::string_view nbd_keys[] = {"type",      "uri",           "size",    "connections",
                                         "reconnect", "trust_restart", "timeout", "tls"};
constexpr std::string_view uri_schemes[] = {"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"};
constexpr std::uint32_t remote_connections_max = 16;
constexpr std::string_view device_keys[] = {"table", "map",         "read_only", "block_size",
                                            "uuid",  "write_cache", "retry"};
constexpr std::string_view defaults_keys[] = {"retry", "block_size"};
constexpr std::string_view block_sizes[] = {"512", "4096"};
constexpr std::size_t uuid_bytes_max = 128;  // As in dm.

Value<std::uint64_t> size_value(std::string_view text) {
    auto sectors = parse_sectors(text, Bare::refused);
    if (!sectors) return sectors;
    if (*sectors == 0) {
        return tl::unexpected(ValueError{"bad-size", in_quotes(text) + " holds nothing",
                                         "a store needs at least one sector: 512B"});
    }
    if (*sectors > dmcore::table_sectors_max) {
        return tl::unexpected(
            ValueError{"too-large", in_quotes(text) + " is more than a device can have",
                       "at most " + std::to_string(dmcore::table_sectors_max) + "s"});
    }
    return sectors;
}

Value<std::string> uri_value(std::string_view text) {
    const bool known = std::ranges::any_of(
        uri_schemes, [&](std::string_view scheme) { return text.starts_with(scheme); });
    if (known && text.find(char{}) == std::string_view::npos) return std::string(text);
    return tl::unexpected(
        ValueError{"bad-uri", in_quotes(text) + " is not the address of an NBD server",
                   "write nbd://HOST:PORT/EXPORT, or nbd+unix:///EXPORT?socket=PATH"});
}

Value<std::uint64_t> connections_value(std::string_view text) {
    const auto count = parse_count(text, remote_connections_max);
    if (!count || *count > 0) return count;
    return tl::unexpected(
        ValueError{"bad-number", in_quotes(text) + " reaches nothing", "write 1 to 16"});
}

Value<std::string> uuid_value(std::string_view text) {
    if (!text.empty() && text.size() <= uuid_bytes_max) return std::string(text);
    return tl::unexpected(ValueError{"bad-uuid", in_quotes(text) + " has not 1 to 128 bytes", {}});
}

void read_file_store(const Section& section, StoreSpec& store) {
    static constexpr std::string_view discards[] = {"punch", "ignore"};
    static constexpr std::string_view engines[] = {"auto", "threads", "io_uring"};
    if (!section.require("path", store.position, "write path: FILE")) return;
    section.set(store.path, "path", parse_path);
    store.path_position = section.find("path")->position;
    section.set(store.create, "create", parse_boolean);
    if (const auto discard = section.choice("discard", discards)) {
        store.discard = static_cast<StoreSpec::Discard>(*discard);
    }
    if (const auto engine = section.choice("engine", engines)) {
        store.engine = static_cast<StoreSpec::Engine>(*engine);
    }
    section.set(store.direct, "direct", parse_boolean);
}

void read_nbd_store(Context& context, const Section& section, StoreSpec& store) {
    if (!section.require("uri", store.position, "write uri: nbd://HOST:PORT/EXPORT")) return;
    section.set(store.uri, "uri", uri_value);
    store.uri_position = section.find("uri")->position;
    section.set(store.connections, "connections", connections_value);
    section.set(store.reconnect, "reconnect", parse_duration);
    section.set(store.trust_restart, "trust_restart", parse_boolean);
    section.set(store.timeout, "timeout", parse_duration);
    if (const Node* tls = section.find("tls")) {
        read_remote_tls(context, *tls, section.subject("tls"), store.tls);
    }
}

/// Which keys there are depends on the type.
std::span<const std::string_view> store_keys(const Node& store) {
    const Node* type = store.find("type");
    if (type != nullptr && type->text == "file") return file_keys;
    if (type != nullptr && type->text == "nbd") return nbd_keys;
    return memory_keys;
}

}  // namespace

void read_defaults(Context& context, const Node& node, Defaults& to) {
    const Section section(context, node, "defaults", defaults_keys);
    if (const Node* retry = section.find("retry")) {
        to.retry = read_retry(context, *retry, "defaults: retry");
        to.retry_position = retry->position;
    }
    if (const auto size = section.choice("block_size", block_sizes)) {
        to.block_bytes = *size == 0 ? 512 : 4096;
    }
}

void read_store(Context& context, const Node::Entry& entry, Spec& spec) {
    StoreSpec store;
    const std::string what = "store " + in_quotes(entry.key);
    store.name = entry.key;
    store.position = entry.position;
    if (const auto name = parse_name(entry.key); !name) {
        context.error(entry.position, "store:", name.error());
    }
    const Section section(context, *entry.value, what, store_keys(*entry.value));
    if (!section.require("type", entry.position, "write type: memory, type: file or type: nbd")) {
        return;
    }
    const auto type = section.choice("type", store_types);
    if (!type) return;
    store.type = static_cast<StoreSpec::Type>(*type);
    store.size_given = section.find("size") != nullptr;
    section.set(store.size_sectors, "size", size_value);
    switch (store.type) {
        case StoreSpec::Type::file: read_file_store(section, store); break;
        case StoreSpec::Type::nbd: read_nbd_store(context, section, store); break;
        case StoreSpec::Type::memory:
            section.require("size", entry.position, "write size: 512MiB, or another");
    }
    spec.stores.push_back(std::move(store));
}

void read_device(Context& context, const Node::Entry& entry, const Defaults& defaults, Spec& spec) {
    DeviceSpec device;
    const std::string what = "device " + in_quotes(entry.key);
    device.name = entry.key;
    device.position = entry.position;
    device.retry = defaults.retry;
    device.retry_position = defaults.retry_position;
    device.block_bytes = defaults.block_bytes;
    if (const auto name = parse_name(entry.key); !name) {
        context.error(entry.position, "device:", name.error());
    }
    const Section section(context, *entry.value, what, device_keys);
    section.set(device.read_only, "read_only", parse_boolean);
    section.set(device.uuid, "uuid", uuid_value);
    section.not_available("write_cache", "none");
    if (const auto size = section.choice("block_size", block_sizes)) {
        device.block_bytes = *size == 0 ? 512 : 4096;
    }
    if (const Node* retry = section.find("retry")) {
        device.retry = read_retry(context, *retry, what + ": retry");
        device.retry_position = retry->position;
    }
    read_table(context, section, device);
    spec.devices.push_back(std::move(device));
}

}  // namespace config
