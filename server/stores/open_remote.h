#pragma once

#include <memory>

#include "config/load.h"
#include "server/open_store.h"

namespace server {

/// Opens a store of type nbd. It is open whether or not the remote answers now. Throws StoreError
/// where this build has no libnbd.
std::unique_ptr<OpenStore> open_remote(const config::StoreSpec& spec, Shards& shards);

enum class Ask : std::uint8_t { once, patiently };
/// Asks a remote for its size: once, or again and again for as long as the store's `reconnect`
/// says. In a build without libnbd the answer is that it can't.
config::RemoteSize ask_remote_size(Ask how);

}  // namespace server
