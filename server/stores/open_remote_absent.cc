// In place of the other sources of remote stores, in a build without libnbd.
#include "server/stores/open_remote.h"

namespace server {
namespace {

constexpr const char* absent =
    "this build has no libnbd; build dmnbd where it is found (package libnbd-dev)";

}  // namespace

std::unique_ptr<OpenStore> open_remote(const config::StoreSpec& spec, Shards&) {
    throw StoreError("store '" + spec.name + "': " + absent);
}

config::RemoteSize ask_remote_size(Ask) {
    return [](const config::StoreSpec&) { return tl::unexpected(std::string(absent)); };
}

}  // namespace server
