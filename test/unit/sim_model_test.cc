// The judge of the simulation: what it takes for legal and what not.
#include <doctest/doctest.h>

#include "sim/model.h"

namespace {

using sim::Model;
using sim::Moment;
using sim::Trace;

constexpr sim::Place place = 5;
constexpr std::uint64_t first = 0x100;
constexpr std::uint64_t second = 0x200;

/// Two writes of one place: the first one's connection dies, then the second is sent and answered.
struct Overtaken {
    Trace trace{1, false};
    Model model{trace, 1, 16};

    Overtaken(Model::Entry one, Model::Entry two) {
        tick();
        model.begin(place, first, 1, 0, one);
        tick();
        model.died(place, 1);
        const Moment began = tick();
        model.begin(place, second, 2, 0, two);
        tick();
        model.end(place, 2, began, true, false);
        tick();
    }
    Moment tick() {
        trace.note(sim::What::quiet);
        return trace.now();
    }
    bool legal(std::uint64_t value) { return model.legal(place, value, trace.now()); }
};

}  // namespace

TEST_CASE("[O-1] sim: a dead write must not come back over a later one to the same sector") {
    Overtaken writes({2, 40}, {2, 40});
    CHECK(writes.legal(second));
    CHECK_FALSE(writes.legal(first));
    CHECK_FALSE(writes.legal(0));
}

TEST_CASE("sim: sectors of one device that a table maps to one place know nothing of each other") {
    Overtaken writes({2, 40}, {2, 120});
    CHECK(writes.legal(second));
    CHECK(writes.legal(first));  // Still in a store's hands: it may be written at any time.
    CHECK_FALSE(writes.legal(0));

    SUBCASE("but once it is gone, what is sent later is above it") {
        writes.model.gone(place, 1);
        const Moment began = writes.tick();
        writes.model.begin(place, 0x300, 3, 0, {2, 120});
        writes.tick();
        writes.model.end(place, 3, began, true, false);
        writes.tick();
        CHECK(writes.legal(0x300));
        CHECK_FALSE(writes.legal(first));
        CHECK_FALSE(writes.legal(second));
    }
}

TEST_CASE("sim: a write that covers a place twice is judged by each of its two sectors") {
    Trace trace(1, false);
    Model model(trace, 1, 16);
    const auto tick = [&] {
        trace.note(sim::What::quiet);
        return trace.now();
    };
    tick();
    model.begin(place, first, 1, 0, {2, 41});
    tick();
    model.died(place, 1);
    const Moment began = tick();
    model.begin(place, second, 2, 0, {2, 40});
    model.begin(place, second + 1, 2, 1, {2, 41});
    tick();
    model.end(place, 2, began, true, false);
    tick();
    CHECK(model.legal(place, second, trace.now()));
    CHECK(model.legal(place, second + 1, trace.now()));
    CHECK_FALSE(model.legal(place, first, trace.now()));
}
