// Why: several devices that stand on one another are changed as one [O-7]. What dmcore owes that
// change is shown here: in the right order no I/O sees an old table on a new one or waits for ever.
#include <doctest/doctest.h>

#include "unit/stack.h"

using namespace stack;

namespace {

/// A child and a parent on it. Old tables put sector n at n of `old`, new ones at n + 50 of `now`;
/// an old table over or under a new one would show as another place.
struct Family : World {
    Family() : old(probe("old", 100)), now(probe("now", 100)) {
        child = &device("child", "0 100 linear old 0\n");
        parent = &device("parent", "0 50 linear child 0\n");
    }
    void load_both() {
        child->load(build("child", "0 100 linear now 0\n"));
        parent->load(build("parent", "0 50 linear child 50\n"));
    }
    /// One more write to the parent, of a sector of its own.
    void send() {
        sent.push_back(make(Op::write, sent.size(), 1, 1));
        submit(*parent, *sent.back());
        run();
    }
    int answers() const {
        int all = 0;
        for (const auto& each : sent) all += each->answers;
        return all;
    }
    bool all_good() const {
        for (const auto& each : sent) {
            if (each->answers != 1 || each->status() != Status::ok) return false;
        }
        return true;
    }

    Probe& old;
    Probe& now;
    MappedDevice* child;
    MappedDevice* parent;
    std::vector<std::unique_ptr<Request>> sent;
};

Answer keep(const Bio&) {
    return Answer::keep;
}

}  // namespace

TEST_CASE_FIXTURE(Family, "parents first down, last up: no I/O sees one old and one new ([O-7])") {
    load_both();
    old.decide = keep;
    send();
    CHECK_FALSE(suspend(*parent));
    send();  // Waits on top from here on.
    old.decide = nullptr;
    old.finish_kept();
    run();
    REQUIRE(parent->suspended());
    send();
    REQUIRE(suspend(*child));
    send();
    resume(*child);
    send();
    CHECK(answers() == 1);
    CHECK(now.seen.empty());
    resume(*parent);
    send();
    CHECK(all_good());
    CHECK(old.ranges() == Ranges{{0, 1}});
    CHECK(now.ranges() == Ranges{{51, 1}, {52, 1}, {53, 1}, {54, 1}, {55, 1}});
}

TEST_CASE_FIXTURE(Family, "a change that fails half-way is undone, and nobody notices ([O-7])") {
    load_both();
    REQUIRE(suspend(*parent));
    send();
    bool failed = true;  // Something of its own is below, and does not come back in time.
    auto direct = make(Op::read, 99, 1);
    old.decide = keep;
    submit(*child, *direct);
    run();
    child->suspend(true, [&] { failed = false; });
    run();
    CHECK(failed);
    send();
    for (MappedDevice* each : {child, parent}) {
        each->clear();
        each->undo_suspend([] {});
        run();
    }
    old.decide = nullptr;
    old.finish_kept();
    run();
    send();
    CHECK(failed);
    CHECK(direct->answers == 1);
    CHECK(all_good());
    CHECK(old.ranges() == Ranges{{99, 1}, {0, 1}, {1, 1}, {2, 1}});
    CHECK(now.seen.empty());
}

TEST_CASE_FIXTURE(Family, "children first, a parent that flushes would wait for ever ([O-7])") {
    REQUIRE(suspend(*child));
    send();
    CHECK_FALSE(suspend(*parent, false));
    resume(*child);  // Only this ends it.
    CHECK(parent->suspended());
    CHECK(all_good());
    resume(*parent);
}
