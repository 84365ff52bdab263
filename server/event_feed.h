#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace server {

class EventReader;

/// What happens on a running server, as server-sent events, for those who listen. Bounded: so many
/// readers, and so many bytes that wait for each; who falls behind loses events and is told so.
/// Outlives its readers. Any thread.
class EventFeed {
  public:
    static constexpr std::size_t readers_max = 16;
    static constexpr std::size_t waiting_bytes_max = 64U << 10;  // Of one reader.
    static constexpr std::chrono::seconds heartbeat{15};         // A comment, when all is quiet.

    /// Null: as many listen as may, or it has ended.
    std::shared_ptr<EventReader> listen();
    /// Does anybody? What nobody hears need not be told.
    bool heard() const noexcept { return heard_.load(std::memory_order_relaxed) != 0; }
    /// `data`: JSON, in one line.
    void tell(std::string_view kind, const std::string& data);
    /// Wakes every reader, to look whether its client is still there; to be called about once a
    /// second.
    void pulse();
    /// Readers take what waits for them, and then it is over.
    void end();
    enum class Heard : std::uint8_t { still, anew, no_more };
    /// Waits for at least `pause`, and until somebody listens. `anew`: nobody did for a while.
    /// `no_more`: it has ended.
    Heard wait(std::chrono::milliseconds pause);

  private:
    friend class EventReader;
    using Clock = std::chrono::steady_clock;

    void remove(EventReader& reader) noexcept;

    std::mutex mutex_;  // Guards the readers, too.
    std::condition_variable changed_;
    std::vector<EventReader*> readers_;
    std::atomic<std::size_t> heard_{0};
    bool ended_ = false;
};

/// One who listens. Used by one thread at a time.
class EventReader {
  public:
    explicit EventReader(EventFeed& feed);
    ~EventReader();
    EventReader(const EventReader&) = delete;
    EventReader& operator=(const EventReader&) = delete;

    /// Puts what there is into `to`, up to its size; how much, or nothing when all is over. 0:
    /// there is nothing; `rest` has been called, and `wake` is called once when there may be more.
    /// Neither may call the feed. `wake` comes from any thread.
    std::optional<std::size_t> take(std::span<char> to, const std::function<void()>& rest,
                                    std::function<void()> wake);

    /// For this one it is over.
    void end();

  private:
    friend class EventFeed;

    void add(std::string_view text);
    void rouse();

    EventFeed& feed_;
    std::string waiting_ = ": this is dmnbd\n\n";
    std::uint64_t lost_ = 0;  // Since waiting_ was full.
    bool ended_ = false;
    std::function<void()> wake_;
    EventFeed::Clock::time_point spoke_ = EventFeed::Clock::now();
};

}  // namespace server
