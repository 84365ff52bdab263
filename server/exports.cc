#include "server/exports.h"

#include <algorithm>

#include "server/identity.h"

namespace server {
namespace {

nbd::TlsUse tls_use(config::Tls tls) {
    switch (tls) {
        case config::Tls::no: return nbd::TlsUse::never;
        case config::Tls::require: return nbd::TlsUse::only;
        case config::Tls::yes: break;
    }
    return nbd::TlsUse::either;
}

}  // namespace

Export::Export(config::ExportSpec spec, std::shared_ptr<Device> device, const Export* before,
               dmcore::Time answer_time)
    : spec_(std::move(spec)),
      device_(std::move(device)),
      answer_time_(answer_time),
      use_(before != nullptr ? before->use_ : std::make_shared<Use>(device_->mapped.lane_count())) {
}

nbd::ExportInfo Export::info(unsigned shard) const {
    const dmcore::Limits& limits = device_->mapped.lane(shard).limits();
    nbd::ExportInfo info;
    info.name = spec_.name;
    info.description = spec_.description;
    info.size_bytes = limits.size_sectors * dmcore::sector_bytes;
    info.tls = tls_use(spec_.tls);
    info.read_only = spec_.read_only || limits.read_only;
    // The stack keeps all of these: a flush reaches every store [O-4], a store without FUA of its
    // own writes and then flushes [O-5], and there is one cache, or none, for all connections.
    info.can_flush = info.can_fua = info.can_zero = info.can_multi_conn = true;
    info.can_trim = limits.discard;
    info.fast_zero = limits.fast_zero;
    info.min_block_bytes = limits.logical_block_bytes;
    info.preferred_block_bytes = std::max(info.preferred_block_bytes, info.min_block_bytes);
    return info;
}

nbd::Identity Export::identity(unsigned shard) const {
    dmcore::StoreWalk walk(dmcore::StoreWalk::Of::live);
    walk.visit(device_->mapped.lane(shard), nullptr);
    std::vector<std::string> below;
    for (const auto& found : walk.stores()) below.push_back(found.store->identity());
    const auto answer = std::chrono::ceil<std::chrono::milliseconds>(answer_time_).count();
    return {.server = this_run(),
            .answer_ms = static_cast<std::uint32_t>(std::min<std::int64_t>(answer, UINT32_MAX)),
            .text = stack_identity(device_->mapped.name(), below)};
}

bool Export::admits(const std::optional<config::Address>& address) const {
    if (spec_.max_connections != 0 && connections() >= spec_.max_connections) return false;
    if (!address || spec_.allow.empty()) return true;
    return std::any_of(spec_.allow.begin(), spec_.allow.end(),
                       [&](const config::Cidr& range) { return range.contains(*address); });
}

bool Export::enter() const noexcept {
    std::uint32_t count = use_->connections;
    do {
        if (spec_.max_connections != 0 && count >= spec_.max_connections) return false;
    } while (!use_->connections.compare_exchange_weak(count, count + 1));
    ++device_->clients;
    return true;
}

void Export::leave() const noexcept {
    --use_->connections;
    --device_->clients;
}

std::shared_ptr<const Export> ExportTable::find(std::string_view name) const noexcept {
    const auto found = std::find_if(all_.begin(), all_.end(),
                                    [&](const auto& each) { return each->spec().name == name; });
    return found == all_.end() ? nullptr : *found;
}

}  // namespace server
