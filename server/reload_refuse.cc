// What a reload refuses because somebody would lose something (user-experience 7, [O-10]).
#include <algorithm>
#include <set>

#include "config/diagnostic.h"
#include "config/values.h"
#include "server/net/connection.h"
#include "server/reload.h"
#include "server/running.h"

namespace server {
namespace {

[[noreturn]] void refuse(std::string slug, const std::string& message, std::string help) {
    throw ReloadError(ReloadError::Kind::refused, std::move(slug), message, std::move(help));
}

/// What one client was told, and holds us to.
struct Promise {
    const Device* device;
    std::string name;  // Of its export.
    std::uint64_t size_bytes;
    bool writable;
    bool trims;
};

}  // namespace

void Reload::refuse_lost_data() const {
    if (options_.allow_data_loss) return;
    std::string lost;
    for (const config::Change& each : changes_) {
        if (each.risk != config::Change::Risk::data_loss) continue;
        lost += (lost.empty() ? "" : ", ") + config::in_quotes(each.name);
    }
    if (lost.empty()) return;
    refuse("data-loss", "store " + lost + " holds its data in memory only, and would lose it",
           "--allow-data-loss allows it; for a file that is watched, reload.allow_data_loss: true");
}

/// A table that waits in an inactive slot was judged by what there was when it was loaded.
void Reload::refuse_broken_inactive() const {
    std::string device;
    std::string below;
    running_.run_on_control([&] {
        for (const auto& each : next_->devices) {
            for (const dmcore::TableShared* table : each->mapped.tables()) {
                if (table == each->mapped.live().get()) continue;
                for (const std::string& name : table->below) {
                    if (live_->object(name) == next_->object(name)) continue;
                    device = each->mapped.name();
                    below = name;
                }
            }
        }
    });
    if (device.empty()) return;
    refuse("inactive-table",
           "the inactive table of " + config::in_quotes(device) + " stands on " +
               config::in_quotes(below) + ", which would change",
           "resume or clear " + config::in_quotes(device) + " first");
}

void Reload::refuse_broken_promises() const {
    std::vector<Promise> promises;
    for (unsigned i = 0; i < running_.shards().shards(); ++i) {
        running_.run_on_shard(i, [&] {
            for (const auto& each : running_.shards()[i].connections()) {
                const Export* entered = each->entered();
                if (entered == nullptr || each->closed()) continue;
                const nbd::ExportInfo& told = each->told();
                promises.push_back({&entered->device(), told.name, told.size_bytes, !told.read_only,
                                    told.can_trim && !told.read_only});
            }
        });
    }
    for (const Promise& promise : promises) {
        if (!next_->has(*promise.device)) continue;  // It will be seen off.
        const auto& limits = wanted_.find_device(promise.device->mapped.name())->limits;
        const std::string who =
            "a client of " + config::export_subject(promise.name) + " was told ";
        if (!options_.allow_shrink &&
            limits.size_sectors * dmcore::sector_bytes < promise.size_bytes) {
            refuse("shrink",
                   who + "that it has " + config::size_text(promise.size_bytes) +
                       "; it would shrink to " + config::sectors_text(limits.size_sectors),
                   "--allow-shrink allows it");
        }
        const std::string fix = "let the client go first, or export another device";
        if (promise.writable && limits.read_only) {
            refuse("read-only", who + "that it may write; it would be read-only", fix);
        }
        if (promise.trims && !limits.discard) {
            refuse("no-trim", who + "that it may trim; the new table can't", fix);
        }
    }
}

}  // namespace server
