#include "server/stores/remote.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>

#include "server/limits.h"

namespace server {

using dmcore::Bio;
using dmcore::Failure;
using dmcore::Op;
using dmcore::Status;
using Phase = RemoteConnection::Phase;

namespace {

/// Hands the one flush of sync() back to who waits for it.
class SyncInbox final : public Inbox {
  public:
    void finished(dmcore::Queue<Bio>& bios) noexcept override {
        while (Bio* bio = bios.pop()) {
            static_cast<std::promise<bool>*>(bio->owner)
                ->set_value(bio->failure.status == Status::ok);
        }
    }
};

SyncInbox sync_inbox;

bool changes(const Bio& bio) noexcept {
    return dmcore::is_write_like(bio.op);
}

}  // namespace

RemoteStore::RemoteStore(const config::StoreSpec& spec, const std::vector<Inbox*>& inboxes)
    : spec_(spec),
      where_(dmcore::interned("store '" + spec.name + "'")),
      where_gone_(dmcore::interned("store '" + spec.name + "', which is not connected")),
      where_lost_(dmcore::interned("store '" + spec.name +
                                   "', whose connection was lost with writes not yet flushed")),
      bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      sources_(inboxes.size() + 1),
      ways_(spec.connections) {
    if (bell_ < 0) throw StoreError(std::string(where_) + ": there are no descriptors left");
    for (std::size_t i = 0; i < inboxes.size(); ++i) sources_[i].inbox = inboxes[i];
    sources_.back().inbox = &sync_inbox;
    limits_.size_sectors = spec.size_sectors;
    // Flushes go down whatever the remote says now: it may be another one after a restart.
    limits_.write_cache = true;
    link_.trouble = "not connected yet";
    thread_ = std::thread([this] { work(); });
    std::unique_lock lock(mutex_);
    first_answer_.wait_for(lock, limits::remote_connect_time, [this] { return settled_; });
    settled_ = true;  // If nothing is known of it by now it is like one that is down.
    limits_.discard = promised_.trim;
    limits_.read_only = promised_.read_only;
    limits_.logical_block_bytes = std::max(limits_.logical_block_bytes, promised_.block_bytes);
}

RemoteStore::~RemoteStore() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    ::eventfd_write(bell_, 1);
    thread_.join();
    ::close(bell_);
}

void RemoteStore::submit(std::size_t shard, Bios& bios) noexcept {
    {
        const std::lock_guard lock(mutex_);
        sources_[shard].submitted.append(bios);
    }
    ::eventfd_write(bell_, 1);
}

bool RemoteStore::sync() {
    const std::lock_guard one_at_a_time(sync_mutex_);
    std::promise<bool> done;
    Bio flush;
    flush.op = Op::flush;
    flush.owner = &done;
    Bios bios;
    bios.push_back(flush);
    submit(sources_.size() - 1, bios);
    return done.get_future().get();
}

RemoteLink RemoteStore::link() const {
    const std::lock_guard lock(mutex_);
    return link_;
}

void RemoteStore::work() {
    do {
        drop_late();
        // What was answered before a connection was lost counts before that loss does.
        while (Request* request = ended_.pop()) go_on(*request);
        look_after_connections();
        deliver();
        if (ended_.empty()) wait();
    } while (take_submitted());
}

/// False: it is to stop, and all has ended.
bool RemoteStore::take_submitted() {
    bool stopping = false;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
        Bios bios;
        {
            const std::lock_guard lock(mutex_);
            bios.append(sources_[i].submitted);
            stopping = stopping_;
        }
        while (Bio* bio = bios.pop()) start(*bio, i);
    }
    return !stopping;
}

/// Until the remote has something, somebody submits, or it is time to look after the connections.
void RemoteStore::wait() {
    std::vector<pollfd> waits{{bell_, POLLIN, 0}};
    for (const Way& way : ways_) waits.push_back(way.connection.waits_for());
    ::poll(waits.data(), waits.size(), static_cast<int>(patience().count()));
    if (waits[0].revents != 0) {
        eventfd_t count = 0;
        ::eventfd_read(bell_, &count);
    }
    for (std::size_t i = 0; i < ways_.size(); ++i) {
        ways_[i].connection.go_on(waits[i + 1].revents);
    }
}

void RemoteStore::deliver() noexcept {
    for (Source& source : sources_) {
        if (!source.done.empty()) source.inbox->finished(source.done);
    }
}

void RemoteStore::start(Bio& bio, std::size_t source) noexcept {
    Request& request = *requests_.take();
    request.store = this;
    request.bio = &bio;
    request.source = source;
    request.way = ready_way();
    request.error = 0;
    request.flushing = false;
    request.issued_at = std::chrono::steady_clock::now();
    if (request.way == nullptr) {
        const bool nothing_to_flush = bio.op == Op::flush && !unflushed() && !may_have_lost_;
        finish(request, nothing_to_flush ? Failure{} : absent());
        return;
    }
    request.generation = request.way->generation;
    if (spec_.timeout.count() > 0) in_flight_.push_back(&request);
    if (bio.op != Op::flush) {
        request.way->connection.issue(bio, request);
    } else if (may_have_lost_) {
        may_have_lost_ = false;
        flushed_ = answered_;
        finish(request, {.status = Status::io_error, .sync_lost = true, .where = where_lost_});
    } else {
        issue_flush(request);
    }
}

void RemoteStore::issue_flush(Request& request) {
    request.flushing = true;
    request.covers = answered_;
    request.way->connection.issue_flush(request);
}

/// All commands of one step of the request have ended.
void RemoteStore::go_on(Request& request) {
    const Bio& bio = *request.bio;
    Way& way = *request.way;
    const bool same = way.generation == request.generation;
    if (request.error != 0) {
        // It says that it goes away, so it is taken at its word.
        if (request.error == ESHUTDOWN && same) way.connection.drop("it is shutting down");
        finish(request, failure_of(request));
        return;
    }
    const bool durable = request.flushing || (bio.fua && way.connection.traits().fua);
    if (bio.fua && changes(bio) && !durable) {  // [O-5]
        if (same && way.connection.phase() == Phase::ready) {
            issue_flush(request);
        } else {
            request.error = ENOTCONN;  // Another connection's flush would not tell.
            finish(request, failure_of(request));
        }
        return;
    }
    if (request.flushing) {
        flushed_ = std::max(flushed_, request.covers);
    } else if (changes(bio) && !durable) {
        ++answered_;
    }
    finish(request, {});
}

void RemoteStore::finish(Request& request, const Failure& failure) noexcept {
    Bio& bio = *request.bio;
    bio.failure = failure;
    if (failure.status != Status::ok) bio.failure.sector = bio.iter.sector;
    if (failure.status != Status::ok && failure.status != Status::disconnected) {
        errors_.fetch_add(1, std::memory_order_relaxed);
    }
    if (spec_.timeout.count() > 0) std::erase(in_flight_, &request);
    sources_[request.source].done.push_back(bio);
    requests_.give(request);
}

Failure RemoteStore::failure_of(const Request& request) const noexcept {
    if (request.error == ENOTCONN || request.error == ESHUTDOWN) return absent();
    const bool durable =
        request.bio->op == Op::flush || (request.bio->fua && changes(*request.bio));
    return {
        .status = dmcore::status_from_errno(request.error), .sync_lost = durable, .where = where_};
}

/// Of I/O that found no connection, or lost it.
Failure RemoteStore::absent() const noexcept {
    const bool waits = connected_ || std::chrono::steady_clock::now() - gone_at_ < spec_.reconnect;
    return {.status = waits && spec_.reconnect.count() > 0 ? Status::disconnected : Status::no_link,
            .where = where_gone_};
}

}  // namespace server
