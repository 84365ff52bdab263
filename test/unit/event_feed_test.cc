// Why: who listens and does not read must cost nobody anything, and must know what was missed.
#include <doctest/doctest.h>

#include "server/event_feed.h"

using server::EventFeed;
using server::EventReader;

namespace {

struct Listening {
    explicit Listening(EventFeed& feed) : reader(feed.listen()) {}

    /// All there is now. `over` is set when that was all there will be.
    std::string take() {
        std::string all;
        char part[100];
        for (;;) {
            const auto bytes = reader->take(
                part, [this] { ++rests; }, [this] { ++wakes; });
            over = !bytes;
            if (over || *bytes == 0) return all;
            all.append(part, *bytes);
        }
    }

    std::shared_ptr<EventReader> reader;
    int rests = 0;
    int wakes = 0;
    bool over = false;
};

}  // namespace

TEST_CASE("event feed: everybody who listens hears what is told, from then on") {
    EventFeed feed;
    CHECK_FALSE(feed.heard());
    feed.tell("client", "{\"id\":1}");
    Listening first(feed);
    CHECK(feed.heard());
    CHECK(first.take() == ": this is dmnbd\n\n");
    CHECK(first.rests == 1);
    feed.tell("client", "{\"id\":2}");
    CHECK(first.wakes == 1);
    feed.tell("client", "{\"id\":3}");
    CHECK(first.wakes == 1);  // It is awake.
    CHECK(first.take() == "event: client\ndata: {\"id\":2}\n\nevent: client\ndata: {\"id\":3}\n\n");
    first.reader.reset();
    CHECK_FALSE(feed.heard());
}

TEST_CASE("event feed: who does not read loses events beyond a bound, and hears how many") {
    EventFeed feed;
    Listening slow(feed);
    const std::string text(1000, 'x');
    const std::size_t told = 2 * EventFeed::waiting_bytes_max / text.size();
    for (std::size_t i = 0; i < told; ++i) feed.tell("reload", text);
    const std::string heard = slow.take();
    CHECK(heard.size() <= EventFeed::waiting_bytes_max + 100);
    std::size_t kept = 0;
    for (std::size_t at = 0; (at = heard.find("event: reload", at)) != std::string::npos; ++at) {
        ++kept;
    }
    CHECK(
        heard.ends_with("event: lagged\ndata: {\"lost\":" + std::to_string(told - kept) + "}\n\n"));
    feed.tell("reload", "{}");
    CHECK(slow.take() == "event: reload\ndata: {}\n\n");
}

TEST_CASE("event feed: so many may listen, and a place is free once one has gone") {
    EventFeed feed;
    std::vector<std::shared_ptr<EventReader>> readers;
    for (std::size_t i = 0; i < EventFeed::readers_max; ++i) readers.push_back(feed.listen());
    CHECK(feed.listen() == nullptr);
    readers.pop_back();
    CHECK(feed.listen() != nullptr);
}

TEST_CASE("event feed: at the end what waits is still heard, and then nobody is let in") {
    EventFeed feed;
    Listening one(feed);
    one.take();
    feed.tell("store", "{}");
    feed.end();
    CHECK(one.take() == "event: store\ndata: {}\n\n");
    CHECK(one.over);
    CHECK(feed.listen() == nullptr);
    CHECK(feed.wait(std::chrono::milliseconds(0)) == EventFeed::Heard::no_more);
}

TEST_CASE("event feed: one reader can be ended alone, and a pulse wakes the others") {
    EventFeed feed;
    Listening one(feed);
    Listening other(feed);
    one.take();
    other.take();
    one.reader->end();
    CHECK(one.wakes == 1);
    CHECK(other.wakes == 0);
    one.take();
    CHECK(one.over);
    feed.pulse();
    CHECK(other.wakes == 1);
    CHECK(other.take().empty());
    CHECK_FALSE(other.over);
}
