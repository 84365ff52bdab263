#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "dmcore/agenda.h"
#include "dmcore/clock.h"
#include "server/limits.h"
#include "server/nbd/session.h"
#include "server/net/patience.h"
#include "server/net/tls_scratch.h"
#include "server/stores/inbox.h"
#include "server/stores/ring.h"

namespace server {

class Connection;
class ExportTable;
class TlsContext;

/// One thread and all it owns: loop, clock, agenda, buffers, connections. Nothing here is shared
/// but what says "any thread". One turn of the loop: sleep for readiness, take all that is ready,
/// run the agenda until nothing is left, send what there is to send.
class Shard final : public dmcore::Clock, public Inbox {
  public:
    explicit Shard(unsigned index);
    ~Shard() override;

    void start();
    /// Ends the loop and waits for its thread. All connections must be gone.
    void stop();

    /// Runs `what` on this shard. Any thread.
    void post(std::function<void()> what);
    /// Ends a bio that a store has finished on another thread; its failure, if any, is set. Any
    /// thread.
    void finished(dmcore::Queue<dmcore::Bio>& bios) noexcept override;

    /// What now() would say if a turn began now. Any thread.
    static dmcore::Time clock_time() noexcept;

    // Clock: the time at which this turn began. Read when it is first asked for, since what ends
    // the loop's sleep runs before the loop itself goes on.
    dmcore::Time now() const noexcept override {
        if (slept_) refresh_time();
        return now_;
    }
    void arm(dmcore::Timer& timer, dmcore::Time due) noexcept override;
    void disarm(dmcore::Timer& timer) noexcept override;

    unsigned index() const noexcept { return index_; }
    dmcore::Agenda& agenda() noexcept { return agenda_; }
    asio::io_context& io() noexcept { return io_; }
    nbd::SessionResources& resources() noexcept { return resources_; }
    /// Null: there is none to be had.
    FileRing* file_ring() noexcept { return file_ring_.get(); }
    /// Scratch for one receive call; whoever receives uses it up at once.
    std::span<std::byte> receive_buffer() noexcept { return receive_buffer_; }

    /// Looks at the connection at the end of this turn: it may have something to send, or end.
    void attend(Connection& connection);
    /// Looks once more for input of the connection before it sleeps.
    void expect(Connection& connection) { expected_.push_back(&connection); }
    /// Looks at the connection in every turn until it may go on: what it waits for, buffers or room
    /// on a device, may be freed by others.
    /// Meanwhile it watches for the client's end, which nobody would read.
    void pause(Connection& connection);
    void resume(Connection& connection);
    void add(std::shared_ptr<Connection> connection);
    void remove(const std::shared_ptr<Connection>& connection);
    /// Every lane of this shard, for abandon().
    void add(dmcore::Lane& lane) { lanes_.push_back(&lane); }
    void remove(dmcore::Lane& lane) { std::erase(lanes_, &lane); }
    /// What clients can open now.
    void set_exports(std::shared_ptr<const ExportTable> exports) { exports_ = std::move(exports); }
    const ExportTable& exports() const noexcept { return *exports_; }
    /// What new connections speak TLS with; null: nothing.
    void set_tls(std::shared_ptr<const TlsContext> tls) { tls_ = std::move(tls); }
    const std::shared_ptr<const TlsContext>& tls() const noexcept { return tls_; }
    TlsScratch& tls_scratch() noexcept { return tls_scratch_; }
    /// Called on this shard when a client has entered an export ("connected"), and when nothing of
    /// it is left ("gone"). To be set before start().
    using OnClient = std::function<void(const Connection& client, const char* state)>;
    void on_client(OnClient call) { on_client_ = std::move(call); }
    void tell_client(const Connection& client, const char* state) { on_client_(client, state); }
    /// Logs why a client was dropped: one line at most in each limits::drop_log_interval.
    void tell_drop(std::string_view peer, std::string_view why);
    /// What waits on any device for `origin` ends now, with `shutdown` [O-2].
    void abandon(const dmcore::Origin& origin) noexcept;
    const std::set<std::shared_ptr<Connection>>& connections() const noexcept {
        return connections_;
    }

  private:
    void loop();
    void wait();
    bool look();
    void finish_turn();
    void wait_for_posts();
    void take_posts();
    void wait_for_hangups();
    void take_hangups();
    void ring() noexcept;
    void wait_for_timers();
    void fire_timers();
    void refresh_time() const noexcept;
    void watch_for_stalls() noexcept;
    void drop_stalled();

    const unsigned index_;
    asio::io_context io_{ASIO_CONCURRENCY_HINT_UNSAFE};
    dmcore::Agenda agenda_;
    nbd::Buffers buffers_{limits::shard_buffer_bytes, limits::shard_buffer_bytes_tight};
    nbd::SessionResources resources_{agenda_, buffers_};
    std::vector<std::byte> receive_buffer_;
    mutable dmcore::Time now_{};
    mutable bool slept_ = true;  // Since now_ was read.
    bool stopping_ = false;
    Patience patience_;

    std::set<std::pair<dmcore::Time, dmcore::Timer*>> timers_;
    asio::steady_timer timer_;

    asio::posix::stream_descriptor bell_;  // An eventfd: posts, and bios that stores have finished.
    std::unique_ptr<FileRing> file_ring_;
    asio::posix::stream_descriptor hangups_;  // An epoll over paused connections.
    std::mutex posts_mutex_;                  // Guards the next two.
    std::vector<std::function<void()>> posts_;
    dmcore::Queue<dmcore::Bio> finished_;

    std::set<std::shared_ptr<Connection>> connections_;
    std::vector<Connection*> attended_;
    std::vector<Connection*> expected_;
    std::vector<Connection*> looked_at_;  // Scratch of look().
    std::set<Connection*> paused_;
    dmcore::Timer stall_timer_;  // Armed while buffers are tight.
    dmcore::Time drop_told_at_{-limits::drop_log_interval};
    std::uint64_t drops_untold_ = 0;  // Since then.
    std::vector<dmcore::Lane*> lanes_;
    OnClient on_client_ = [](const Connection&, const char*) {};
    std::shared_ptr<const ExportTable> exports_;  // Never null.
    std::shared_ptr<const TlsContext> tls_;
    TlsScratch tls_scratch_;
    std::thread thread_;
};

}  // namespace server
