#include "server/event_feed.h"

#include <algorithm>

namespace server {
namespace {

std::string event_text(std::string_view kind, std::string_view data) {
    std::string text = "event: ";
    text.append(kind).append("\ndata: ").append(data).append("\n\n");
    return text;
}

}  // namespace

std::shared_ptr<EventReader> EventFeed::listen() {
    auto reader = std::make_shared<EventReader>(*this);
    const std::lock_guard lock(mutex_);
    if (ended_ || readers_.size() >= readers_max) return nullptr;
    readers_.push_back(reader.get());
    heard_ = readers_.size();
    changed_.notify_all();
    return reader;
}

void EventFeed::remove(EventReader& reader) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase(readers_, &reader);
    heard_ = readers_.size();
}

void EventFeed::tell(std::string_view kind, const std::string& data) {
    const std::string text = event_text(kind, data);
    const std::lock_guard lock(mutex_);
    for (EventReader* reader : readers_) reader->add(text);
}

void EventFeed::pulse() {
    const auto now = Clock::now();
    const std::lock_guard lock(mutex_);
    for (EventReader* reader : readers_) {
        if (now - reader->spoke_ >= heartbeat) {
            reader->add(": still here\n\n");
        } else {
            reader->rouse();
        }
    }
}

void EventFeed::end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
    for (EventReader* reader : readers_) reader->rouse();
}

EventFeed::Heard EventFeed::wait(std::chrono::milliseconds pause) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, pause, [this] { return ended_; });
    const bool deserted = readers_.empty();
    changed_.wait(lock, [this] { return ended_ || !readers_.empty(); });
    if (ended_) return Heard::no_more;
    return deserted ? Heard::anew : Heard::still;
}

EventReader::EventReader(EventFeed& feed) : feed_(feed) {}

EventReader::~EventReader() {
    feed_.remove(*this);
}

/// Under the feed's lock, as rouse() is.
void EventReader::add(std::string_view text) {
    if (lost_ != 0 || waiting_.size() + text.size() > EventFeed::waiting_bytes_max) {
        ++lost_;
    } else {
        waiting_ += text;
    }
    spoke_ = EventFeed::Clock::now();
    rouse();
}

void EventReader::rouse() {
    if (wake_ == nullptr) return;
    wake_();
    wake_ = nullptr;
}

void EventReader::end() {
    const std::lock_guard lock(feed_.mutex_);
    ended_ = true;
    rouse();
}

std::optional<std::size_t> EventReader::take(std::span<char> to, const std::function<void()>& rest,
                                             std::function<void()> wake) {
    const std::lock_guard lock(feed_.mutex_);
    if (waiting_.empty() && lost_ != 0) {
        waiting_ = event_text("lagged", "{\"lost\":" + std::to_string(lost_) + "}");
        lost_ = 0;
    }
    if (ended_ || (waiting_.empty() && feed_.ended_)) return std::nullopt;
    const std::size_t bytes = waiting_.copy(to.data(), to.size());
    waiting_.erase(0, bytes);
    if (bytes == 0) {
        rest();
        wake_ = std::move(wake);
    }
    return bytes;
}

}  // namespace server
