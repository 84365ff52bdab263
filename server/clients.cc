// Who is connected to a running server: Running's side of Live.
#include <algorithm>

#include "server/limits.h"
#include "server/running.h"

namespace server {
namespace {

ClientInfo info_of(const Connection& connection) {
    ClientInfo info;
    info.id = connection.id();
    info.peer = connection.peer().name;
    if (connection.entered() != nullptr) info.export_name = connection.entered()->spec().name;
    info.in_flight = connection.requests_in_flight();
    info.closing = connection.closed();
    return info;
}

}  // namespace

std::vector<ClientInfo> Running::clients() {
    std::vector<ClientInfo> infos;
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        run_on_shard(i, [&] {
            for (const auto& each : shards_[i].connections()) infos.push_back(info_of(*each));
        });
    }
    std::ranges::sort(infos, {}, &ClientInfo::id);
    return infos;
}

MemoryInfo Running::memory() {
    MemoryInfo info{.budget_bytes = limits::memory_budget_bytes(shards_.shards())};
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        run_on_shard(i, [&] {
            info.buffer_bytes += shards_[i].resources().buffers.used_bytes();
            info.connections += shards_[i].connections().size();
        });
    }
    return info;
}

/// A connection is removed from its shard when nothing of its session is below any more [O-2].
bool Running::drop_client(std::uint64_t id) {
    const auto drop_on = [this, id](Shard& shard) {
        bool found = false;
        run_on_shard(shard.index(), [&] {
            for (const auto& each : shard.connections()) {  // It stays until the turn ends.
                if (each->id() != id) continue;
                found = true;
                each->drop();
            }
        });
        return found;
    };
    bool found = false;
    for (unsigned i = 0; i < shards_.shards(); ++i) {
        while (drop_on(shards_[i])) {
            found = true;
            refuse_if_stopping();
            std::this_thread::sleep_for(limits::client_look_interval);
        }
    }
    return found;
}

}  // namespace server
