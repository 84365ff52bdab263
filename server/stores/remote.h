#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/spec.h"
#include "dmcore/agenda.h"
#include "dmcore/device.h"
#include "dmcore/pool.h"
#include "server/stores/inbox.h"
#include "server/stores/open_file.h"
#include "server/stores/remote_connection.h"
#include "server/stores/remote_link.h"

namespace server {

/// A disk of another NBD server, shared by all shards [O-6]. A thread of its own owns the
/// connections, so that name look-ups and a remote that hangs stall nobody else.
///
/// While no connection is there, I/O fails with `disconnected` for as long as `reconnect` says, so
/// that it waits in the requeue queues of the devices above; after that with `no_link`. Commands
/// that a lost connection leaves unanswered fail in the same way: it is not known what became of
/// them, and to do them again does no harm, if the remote is done with a connection that is gone
/// before it serves the one that takes its place. Several connections are used only where the
/// remote says that a flush on one covers what was written by another.
class RemoteStore {
  public:
    using Bios = dmcore::Queue<dmcore::Bio>;

    /// Waits a few seconds for the remote, to learn what it can do; goes on without it. `inboxes`:
    /// one a shard; they outlive this. Throws StoreError.
    RemoteStore(const config::StoreSpec& spec, const std::vector<Inbox*>& inboxes);
    /// Nothing may be in flight.
    ~RemoteStore();
    RemoteStore(const RemoteStore&) = delete;
    RemoteStore& operator=(const RemoteStore&) = delete;

    const std::string& name() const noexcept { return spec_.name; }
    const dmcore::Limits& limits() const noexcept { return limits_; }

    /// Takes all of `bios`; each comes back through that shard's inbox. On the shard.
    void submit(std::size_t shard, Bios& bios) noexcept;

    /// Bios that failed. Any thread, as the next two.
    std::uint64_t errors() const noexcept { return errors_.load(std::memory_order_relaxed); }
    RemoteLink link() const;
    /// Flushes what was written. Waits.
    bool sync();

  private:
    using Time = std::chrono::steady_clock::time_point;

    /// One of its connections, and those that took its place when it was lost.
    struct Way {
        RemoteConnection connection;
        bool trying = false;  // To connect, since...
        Time began_at{};
        bool serving = false;          // It was accepted, and its loss has not been noticed yet.
        std::uint64_t generation = 0;  // Connections that have served.
        Time try_at{};
        std::chrono::milliseconds pause{};  // After the last attempt.
    };
    /// What one bio needs, possibly a flush behind it [O-5].
    struct Request final : RemoteRequest {
        void ended() noexcept override { store->ended_.push_back(*this); }

        RemoteStore* store = nullptr;
        dmcore::Bio* bio = nullptr;
        std::size_t source = 0;
        Way* way = nullptr;
        std::uint64_t generation = 0;  // Of the way.
        bool flushing = false;
        std::uint64_t covers = 0;  // Of a flush: the writes that were answered when it was issued.
        Time issued_at{};
    };
    /// A shard, or sync().
    struct Source {
        Inbox* inbox;
        Bios submitted;  // Guarded by mutex_.
        Bios done;
    };

    void work();
    bool take_submitted();
    void wait();
    void deliver() noexcept;

    // remote_reconnect.cc
    void look_after_connections();
    void look_after(Way& way);
    bool may_connect(const Way& way) const noexcept;
    void accept(Way& way);
    std::string refusal(const RemoteTraits& traits) const;
    void lost(Way& way);
    void failed(Way& way);
    void settle();
    void drop_late();
    Way* ready_way() noexcept;
    std::chrono::milliseconds patience() const;

    void start(dmcore::Bio& bio, std::size_t source) noexcept;
    void issue_flush(Request& request);
    void go_on(Request& request);
    void finish(Request& request, const dmcore::Failure& failure) noexcept;
    dmcore::Failure failure_of(const Request& request) const noexcept;
    dmcore::Failure absent() const noexcept;
    bool unflushed() const noexcept { return answered_ > flushed_; }

    static constexpr std::uint32_t block_bytes_max = 4096;

    const config::StoreSpec spec_;
    const char* where_;       // For failures: the store...
    const char* where_gone_;  // ...that is not connected, or...
    const char* where_lost_;  // ...that may have lost writes.
    dmcore::Limits limits_;

    mutable std::mutex mutex_;  // Guards the next five, and Source::submitted.
    std::condition_variable first_answer_;
    RemoteLink link_;
    RemoteTraits promised_;  // What the devices above count on.
    bool settled_ = false;   // They do: the first attempt to connect has ended.
    bool stopping_ = false;
    const int bell_;  // An eventfd: somebody has submitted, or it is to stop.
    std::mutex sync_mutex_;
    std::atomic<std::uint64_t> errors_{0};

    // Of the store's thread:
    std::vector<Source> sources_;
    std::deque<Way> ways_;
    dmcore::Pool<Request> requests_{SIZE_MAX};  // Bounded by what may be in flight above.
    dmcore::Queue<Request> ended_;
    std::vector<Request*> in_flight_;  // With `timeout` only.
    bool connected_ = false;
    Time gone_at_ = std::chrono::steady_clock::now();  // While not connected.
    std::uint64_t answered_ = 0;  // Writes answered, and how many of them a flush has covered.
    std::uint64_t flushed_ = 0;
    bool may_have_lost_ = false;  // The next flush fails [O-6].
    std::thread thread_;
};

/// A remote store as one shard sees it: hands over all of one turn together.
class RemoteDevice final : public dmcore::BlockDevice {
  public:
    RemoteDevice(std::shared_ptr<RemoteStore> store, std::size_t shard, dmcore::Agenda& agenda)
        : store_(std::move(store)),
          shard_(shard),
          agenda_(agenda),
          turn_(
              [](void* self) noexcept {
                  auto& device = *static_cast<RemoteDevice*>(self);
                  device.store_->submit(device.shard_, device.waiting_);
              },
              this) {}

    void submit(dmcore::Bio& bio) noexcept override {
        waiting_.push_back(bio);
        agenda_.add(turn_);
    }
    const dmcore::Limits& limits() const noexcept override { return store_->limits(); }
    const std::string& name() const noexcept override { return store_->name(); }

  private:
    std::shared_ptr<RemoteStore> store_;
    const std::size_t shard_;
    dmcore::Agenda& agenda_;
    RemoteStore::Bios waiting_;
    dmcore::Work turn_;
};

}  // namespace server
