#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "config/spec.h"
#include "server/device.h"
#include "server/exports.h"
#include "server/net/connection.h"
#include "server/net/tls_context.h"
#include "server/open_store.h"

namespace server {

/// What one table file has made. Never changes once it is live, but its parts do what they do.
struct State {
    config::Spec spec;                               // Tables may have been loaded by hand since.
    std::vector<std::shared_ptr<OpenStore>> stores;  // In the order of the spec, as...
    std::vector<std::shared_ptr<Device>> devices;    // ...these.
    std::shared_ptr<const ExportTable> exports = std::make_shared<ExportTable>();
    std::shared_ptr<const TlsContext> tls;  // Null: none is configured.

    /// Null: there is none of that name.
    std::shared_ptr<OpenStore> store(std::string_view name) const;
    std::shared_ptr<Device> device(std::string_view name) const;
    /// The store or device of that name, for comparison and to keep it; null: there is none.
    std::shared_ptr<void> object(std::string_view name) const;
    bool has(const Device& device) const;
    /// Can the client stay? Not if its export or device is gone. On the connection's shard.
    bool serves(const Connection& connection) const;
    /// Keeps all that a table stands on open.
    std::shared_ptr<void> keep(const std::vector<std::string>& names) const;
};

}  // namespace server
