#include "server/net/shard.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <system_error>

#include "server/exports.h"
#include "server/net/connection.h"

namespace server {
namespace {

int make_bell() {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    return fd;
}

int make_hangup_watch() {
    const int fd = ::epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    return fd;
}

}  // namespace

Shard::Shard(unsigned index)
    : index_(index),
      receive_buffer_(limits::receive_bytes),
      timer_(io_),
      bell_(io_, make_bell()),
      file_ring_(FileRing::open(io_, agenda_)),
      hangups_(io_, make_hangup_watch()),
      stall_timer_([](void* self) noexcept { static_cast<Shard*>(self)->drop_stalled(); }, this),
      exports_(std::make_shared<ExportTable>()) {
    wait_for_posts();
    wait_for_hangups();
}

Shard::~Shard() {
    assert(!thread_.joinable());
}

void Shard::start() {
    thread_ = std::thread([this] { loop(); });
}

void Shard::stop() {
    post([this] { stopping_ = true; });
    thread_.join();
}

void Shard::loop() {
    std::size_t looks = 0;  // Since all else had its chance.
    while (!stopping_) {
        slept_ = true;
        const bool left = !attended_.empty() || !agenda_.empty();
        const bool busy = look();
        if (busy && !left && ++looks < limits::looks_in_a_row) {
            finish_turn();
            continue;
        }
        looks = 0;
        if (!busy && !left) wait();
        // Bounded: a client that always has more to send must not keep the turn from its end.
        for (std::size_t i = 0; i < limits::handlers_per_turn && io_.poll_one() != 0; ++i) {
        }
        finish_turn();
    }
}

void Shard::wait() {
    const dmcore::Time began = clock_time();
    dmcore::Time spent{0};
    bool found = false;
    while (!found && patience_.spins() && spent < limits::spin_time) {
        found = io_.poll_one() != 0;
        spent = clock_time() - began;
    }
    if (found) return;
    io_.run_one();                    // The only place that sleeps.
    patience_.waited(now() - began);  // Not what was done about it.
}

/// Do connections that were busy in the last turn go on without being waited for? That spares the
/// waiting, which costs as much as a receive and a send.
bool Shard::look() {
    looked_at_.swap(expected_);
    bool any = false;
    for (Connection* connection : looked_at_) any |= connection->look();
    looked_at_.clear();
    return any;
}

/// Sending frees buffers, which lets connections read on, which makes work again. Most of it is
/// done soon; a client who sends far ahead has to let the others in.
void Shard::finish_turn() {
    std::vector<Connection*> now;
    std::size_t rounds = 0;
    do {
        agenda_.run_all();
        now.clear();
        now.swap(attended_);
        for (Connection* connection : now) connection->end_turn();
        for (Connection* connection : paused_) {
            if (connection->may_resume()) connection->attend();
        }
    } while (++rounds < limits::rounds_per_turn && (!agenda_.empty() || !attended_.empty()));
    watch_for_stalls();
    now.clear();
    if (attended_.capacity() == 0) attended_.swap(now);  // Keeps its memory for the next turn.
}

void Shard::attend(Connection& connection) {
    attended_.push_back(&connection);
}

void Shard::add(std::shared_ptr<Connection> connection) {
    connections_.insert(std::move(connection));
}

void Shard::remove(const std::shared_ptr<Connection>& connection) {
    std::erase(expected_, connection.get());
    connections_.erase(connection);
}

void Shard::pause(Connection& connection) {
    paused_.insert(&connection);
    epoll_event event{};
    event.events = EPOLLRDHUP | EPOLLONESHOT;
    event.data.ptr = &connection;
    ::epoll_ctl(hangups_.native_handle(), EPOLL_CTL_ADD, connection.descriptor(), &event);
}

void Shard::resume(Connection& connection) {
    paused_.erase(&connection);
    ::epoll_ctl(hangups_.native_handle(), EPOLL_CTL_DEL, connection.descriptor(), nullptr);
}

void Shard::wait_for_hangups() {
    hangups_.async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code error) {
        if (error) return;
        take_hangups();
        wait_for_hangups();
    });
}

void Shard::take_hangups() {
    std::array<epoll_event, 64> events;
    const int count =
        ::epoll_wait(hangups_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
        static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr)->on_hangup();
    }
}

void Shard::abandon(const dmcore::Origin& origin) noexcept {
    for (dmcore::Lane* lane : lanes_) lane->abandon(origin);
}

void Shard::watch_for_stalls() noexcept {
    if (!buffers_.tight() || stall_timer_.armed) return;
    arm(stall_timer_, now() + limits::stall_look_interval);
}

/// The turn that this is in ends with another watch.
void Shard::drop_stalled() {
    if (!buffers_.tight()) return;
    for (const auto& connection : connections_) connection->drop_if_stalled();
}

void Shard::tell_drop(std::string_view peer, std::string_view why) {
    if (now() < drop_told_at_ + limits::drop_log_interval) {
        ++drops_untold_;
        spdlog::debug("client {} dropped: {}", peer, why);
        return;
    }
    const std::string others =
        drops_untold_ == 0 ? "" : fmt::format(" (suppressed={})", drops_untold_);
    spdlog::info("client {} dropped: {}{}", peer, why, others);
    drop_told_at_ = now();
    drops_untold_ = 0;
}

dmcore::Time Shard::clock_time() noexcept {
    return std::chrono::duration_cast<dmcore::Time>(
        std::chrono::steady_clock::now().time_since_epoch());
}

void Shard::refresh_time() const noexcept {
    now_ = clock_time();
    slept_ = false;
}

void Shard::ring() noexcept {
    const std::uint64_t one = 1;
    // Only fails when it is rung already.
    [[maybe_unused]] const auto written = ::write(bell_.native_handle(), &one, sizeof one);
}

void Shard::post(std::function<void()> what) {
    const std::lock_guard lock(posts_mutex_);
    posts_.push_back(std::move(what));
    ring();
}

void Shard::finished(dmcore::Queue<dmcore::Bio>& bios) noexcept {
    const std::lock_guard lock(posts_mutex_);
    const bool first = finished_.empty();
    finished_.append(bios);
    if (first) ring();
}

void Shard::wait_for_posts() {
    bell_.async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code error) {
        if (error) return;
        take_posts();
        wait_for_posts();
    });
}

void Shard::take_posts() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(bell_.native_handle(), &count, sizeof count);
    std::vector<std::function<void()>> posts;
    dmcore::Queue<dmcore::Bio> finished;
    {
        const std::lock_guard lock(posts_mutex_);
        posts.swap(posts_);
        finished.append(finished_);
    }
    while (dmcore::Bio* bio = finished.pop()) bio->end();
    for (const auto& what : posts) what();
}

void Shard::arm(dmcore::Timer& timer, dmcore::Time due) noexcept {
    if (timer.armed && timer.due == due) return;
    if (timer.armed) timers_.erase({timer.due, &timer});
    timer.armed = true;
    timer.due = due;
    const auto at = timers_.emplace(due, &timer).first;
    if (at == timers_.begin()) wait_for_timers();
}

void Shard::disarm(dmcore::Timer& timer) noexcept {
    if (!timer.armed) return;
    timer.armed = false;
    timers_.erase({timer.due, &timer});
}

void Shard::wait_for_timers() {
    if (timers_.empty()) return;
    timer_.expires_at(std::chrono::steady_clock::time_point(
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(timers_.begin()->first)));
    timer_.async_wait([this](std::error_code error) {
        if (!error) fire_timers();
    });
}

void Shard::fire_timers() {
    refresh_time();
    while (!timers_.empty() && timers_.begin()->first <= now_) {
        dmcore::Timer* timer = timers_.begin()->second;
        timers_.erase(timers_.begin());
        timer->armed = false;
        timer->fire(timer->owner);
    }
    wait_for_timers();
}

}  // namespace server
