// Why: connections that are held for nothing must not keep those out that ask.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "server/control/crowd.h"
#include "server/net/sockets.h"

using server::Socket;
using server::control::Crowd;

namespace {

struct Guest {
    Socket ours;
    Socket theirs;
    Crowd::Member* member = nullptr;

    explicit Guest(Crowd& crowd) {
        std::array<int, 2> both{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, both.data()) == 0);
        ours = Socket(both[0]);
        theirs = Socket(both[1]);
        member = crowd.enter(ours.fd());
    }
    bool cut_off() const {
        pollfd fd{theirs.fd(), POLLIN, 0};
        return ::poll(&fd, 1, 0) > 0;
    }
};

}  // namespace

TEST_CASE("crowd: beyond the most, the one that has been idle longest is cut off") {
    Crowd crowd(3);
    std::vector<Guest> guests;
    for (int i = 0; i < 3; ++i) guests.emplace_back(crowd);
    CHECK_FALSE(guests[0].cut_off());
    guests.emplace_back(crowd);
    CHECK(guests[0].cut_off());
    guests.emplace_back(crowd);
    CHECK(guests[1].cut_off());
    CHECK_FALSE(guests[2].cut_off());
    for (const Guest& each : guests) crowd.leave(each.member);
}

TEST_CASE("crowd: one that has asked stays until it has been answered, and is young again then") {
    Crowd crowd(2);
    Guest first(crowd);
    Guest second(crowd);
    crowd.begin(*first.member);
    Guest third(crowd);
    CHECK_FALSE(first.cut_off());
    CHECK(second.cut_off());
    crowd.leave(second.member);
    crowd.end(*first.member);
    Guest fourth(crowd);
    CHECK_FALSE(first.cut_off());
    CHECK(third.cut_off());
    crowd.end(*third.member);  // It answers after all; nothing comes of it.
    for (const Guest* each : {&first, &third, &fourth}) crowd.leave(each->member);
}

TEST_CASE("crowd: the newest is never cut off, even if all others are at work") {
    Crowd crowd(1);
    Guest busy(crowd);
    crowd.begin(*busy.member);
    Guest newest(crowd);
    CHECK_FALSE(newest.cut_off());
    for (const Guest* each : {&busy, &newest}) crowd.leave(each->member);
}
