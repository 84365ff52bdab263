// How a remote store comes by its connections, and what it makes of losing one.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "config/values.h"
#include "server/limits.h"
#include "server/stores/remote.h"

namespace server {

using Clock = std::chrono::steady_clock;
using Phase = RemoteConnection::Phase;

void RemoteStore::look_after_connections() {
    for (Way& way : ways_) look_after(way);
}

/// The first one tells whether there may be others.
bool RemoteStore::may_connect(const Way& way) const noexcept {
    const Way& first = ways_.front();
    return &way == &first || (first.serving && first.connection.traits().multi_conn);
}

void RemoteStore::look_after(Way& way) {
    RemoteConnection& connection = way.connection;
    const Time now = Clock::now();
    if (connection.phase() == Phase::connecting &&
        now - way.began_at >= limits::remote_connect_time) {
        connection.drop("it does not answer");
    }
    if (connection.phase() == Phase::ready && !way.serving) accept(way);
    if (connection.phase() == Phase::closed) {
        if (way.serving) {
            lost(way);
        } else if (way.trying) {
            failed(way);
        } else if (now >= way.try_at && may_connect(way)) {
            way.trying = true;
            way.began_at = now;
            connection.connect(spec_.uri, spec_.tls);
        }
    }
}

void RemoteStore::accept(Way& way) {
    const RemoteTraits& traits = way.connection.traits();
    std::string refused;
    {
        const std::lock_guard lock(mutex_);
        refused = refusal(traits);
        if (refused.empty() && !settled_) promised_ = traits;
        if (refused.empty()) promised_.flush = traits.flush;
    }
    if (!refused.empty()) {
        way.connection.drop(refused);
        return;
    }
    way.trying = false;
    way.serving = true;
    ++way.generation;
    way.pause = {};
    connected_ = true;
    const std::lock_guard lock(mutex_);
    if (way.generation > 1) ++link_.reconnects;
    if (!link_.connected) spdlog::info("store '{}': connected to {}", name(), spec_.uri);
    link_.connected = true;
    link_.trouble.clear();
    settle();
}

/// What it can do must be no less than what the devices above count on [O-6].
std::string RemoteStore::refusal(const RemoteTraits& traits) const {
    const std::uint64_t bytes = spec_.size_sectors * dmcore::sector_bytes;
    if (traits.size_bytes < bytes) {
        return "it has " + config::size_text(traits.size_bytes) + ", less than " +
               config::size_text(bytes);
    }
    if (settled_ && traits.read_only && !promised_.read_only) return "it is read-only now";
    if (settled_ && traits.block_bytes > promised_.block_bytes) return "its blocks are larger now";
    if (promised_.flush && !traits.flush) return "it takes no flush any more";
    if (traits.block_bytes > block_bytes_max) return "its blocks have more than 4096 bytes";
    return {};
}

void RemoteStore::lost(Way& way) {
    way.serving = false;
    if (unflushed() && !spec_.trust_restart) may_have_lost_ = true;
    connected_ = std::ranges::any_of(ways_, &Way::serving);
    if (connected_) return;
    gone_at_ = Clock::now();
    spdlog::warn("store '{}': the connection to {} is lost{}; I/O waits for {}", name(), spec_.uri,
                 may_have_lost_ ? ", with writes that were not flushed" : "",
                 config::duration_text(spec_.reconnect));
    const std::lock_guard lock(mutex_);
    link_.connected = false;
    link_.trouble = way.connection.trouble().empty() ? "lost" : way.connection.trouble();
}

/// An attempt to connect has come to nothing.
void RemoteStore::failed(Way& way) {
    way.trying = false;
    way.pause = std::clamp(2 * way.pause, limits::remote_pause_min, limits::remote_pause_max);
    way.try_at = Clock::now() + way.pause;
    if (connected_) return;
    const std::lock_guard lock(mutex_);
    if (link_.trouble != way.connection.trouble()) {
        link_.trouble = way.connection.trouble();
        spdlog::warn("store '{}': {}: {}", name(), spec_.uri, link_.trouble);
    }
    settle();
}

/// From now on the remote can be no less than what is known of it.
void RemoteStore::settle() {
    settled_ = true;
    first_answer_.notify_all();
}

void RemoteStore::drop_late() {
    for (std::size_t i = 0; i < in_flight_.size(); ++i) {
        Request& request = *in_flight_[i];
        if (request.pending == 0 || Clock::now() - request.issued_at < spec_.timeout) continue;
        request.way->connection.drop("a request took longer than " +
                                     config::duration_text(spec_.timeout));
    }
}

RemoteStore::Way* RemoteStore::ready_way() noexcept {
    Way* best = nullptr;
    for (Way& way : ways_) {
        if (!way.serving || way.connection.phase() != Phase::ready) continue;
        const bool better =
            best == nullptr || way.connection.in_flight() < best->connection.in_flight();
        if (better) best = &way;
    }
    return best;
}

/// Until somebody has to look after the connections again.
std::chrono::milliseconds RemoteStore::patience() const {
    const Time now = Clock::now();
    Time next = now + limits::remote_look_time;
    for (const Way& way : ways_) {
        if (way.connection.phase() == Phase::connecting) {
            next = std::min(next, way.began_at + limits::remote_connect_time);
        } else if (way.connection.phase() == Phase::closed && may_connect(way)) {
            next = std::min(next, way.serving || way.trying ? now : way.try_at);
        }
    }
    if (!in_flight_.empty()) next = std::min(next, now + spec_.timeout / 4);
    return std::chrono::ceil<std::chrono::milliseconds>(std::max(next, now) - now);
}

}  // namespace server
