// Why: scripts that use dm's own statistics regions must find dm's grammar, text and figures.
#include <doctest/doctest.h>

#include "unit/stack.h"

using namespace stack;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> split(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    return words;
}

struct Regions : World {
    explicit Regions(std::uint64_t sectors = 1000, unsigned shards = 1) : World(shards) {
        probe("a", 1'000'000);
        device_ = &device("d", "0 " + std::to_string(sectors) + " linear a 0\n");
    }
    MessageAnswer answer(const std::string& text, std::uint64_t sector = 0) {
        MessageAnswer got;
        device_->message(sector, split(text), [&](MessageAnswer one) { got = std::move(one); });
        run();
        return got;
    }
    std::string ask(const std::string& text) {
        MessageAnswer got = answer(text);
        if (const auto* error = std::get_if<TableError>(&got)) FAIL(text << ": " << error->message);
        return std::get<std::string>(got);
    }
    std::string refused(const std::string& text) {
        MessageAnswer got = answer(text);
        const auto* error = std::get_if<TableError>(&got);
        return error == nullptr ? "answered: " + std::get<std::string>(got) : error->slug;
    }
    /// Words of one line that @stats_print prints.
    std::vector<std::string> line(std::uint64_t id, std::size_t index = 0) {
        return split(
            ask("@stats_print " + std::to_string(id) + " " + std::to_string(index) + " 1"));
    }
    /// An I/O that takes `time`.
    void timed(Op op, std::uint64_t sector, std::uint64_t sectors, Time time) {
        probe("a").decide = [](const Bio&) { return Answer::keep; };
        auto request = make(op, sector, sectors);
        submit(*device_, *request);
        pass(time);
        probe("a").decide = nullptr;
        probe("a").finish_kept();
        run();
    }
    MappedDevice* device_;
};

}  // namespace

TEST_CASE("[A-11] [A-12] [V59] ranges and steps") {
    Regions world;
    const auto shape = [&](const std::string& range, const std::string& step) {
        const std::string id = split(world.ask("@stats_create " + range + " " + step))[0];
        const std::string list = split(world.ask("@stats_list"))[2];
        std::size_t lines = 0;
        for (const char letter : world.ask("@stats_print " + id)) lines += letter == '\n';
        world.ask("@stats_delete " + id);
        return list + " " + std::to_string(lines);
    };
    CHECK(shape("0+1000", "/3") == "334 3");
    CHECK(shape("0+1000", "/7") == "143 7");
    CHECK(shape("0+5", "/100") == "1 5");
    CHECK(shape("0+1001", "/100") == "11 91");
    CHECK(shape("-", "100") == "100 10");
    CHECK(shape("5000+7", "3") == "3 3");  // The device's size is not looked at.
    CHECK(shape("0+10", "18446744073709551615") == "18446744073709551615 1");
    for (const char* wrong : {"0+0 1", "0 1", "+5 1", "0+ 1", "a+1 1", "0+1x 1", "0+1 0", "0+1 /0",
                              "0+1 x", "0+1 /x", "18446744073709551615+2 1", "-"}) {
        CHECK(world.refused(std::string("@stats_create ") + wrong) == "bad-message");
    }
    CHECK(world.refused("@stats_create 0+8388609 1") == "too-many-areas");
    CHECK(world.refused("@stats_create 0+4194304 1 1 histogram:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,"
                        "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32") == "too-many-areas");
    CHECK(world.refused("@stats_create 0+8388608 1") == "no-memory");
    CHECK(world.ask("@stats_list").empty());
}

TEST_CASE("[A-11] '-' of a device without size is one sector") {
    World world;
    MappedDevice& device = world.device("empty", "");
    std::string list;
    device.message(0, {"@stats_create", "-", "1"}, [](const MessageAnswer&) {});
    device.message(0, {"@stats_list"},
                   [&](MessageAnswer got) { list = std::get<std::string>(got); });
    world.run();
    CHECK(list == "0: 0+1 1 - -\n");
}

TEST_CASE("[A-13] [A-14] [A-16] [V61] options, program ids and aux data") {
    Regions world;
    CHECK(world.ask("@stats_create 0+8 8") == "0\n");
    CHECK(world.ask("@STATS_Create 0+8 8 prog") == "1\n");
    CHECK(world.ask("@stats_create 0+8 8 prog some-aux") == "2\n");
    CHECK(world.ask("@stats_create 0+8 8 2 precise_timestamps histogram:10,20 prog2") == "3\n");
    CHECK(world.ask("@stats_create 0+8 8 0 7") == "4\n");
    CHECK(world.ask("@stats_list") ==
          "0: 0+8 8 - -\n1: 0+8 8 prog -\n2: 0+8 8 prog some-aux\n"
          "3: 0+8 8 prog2 - precise_timestamps histogram:10,20\n4: 0+8 8 7 -\n");
    CHECK(world.ask("@stats_list prog") == "1: 0+8 8 prog -\n2: 0+8 8 prog some-aux\n");
    CHECK(world.ask("@stats_set_aux 1 later").empty());
    CHECK(world.ask("@stats_list prog").starts_with("1: 0+8 8 prog later\n"));
    for (const char* wrong :
         {"1 histogram:0,10", "1 histogram:10,10", "1 histogram:10,x",
          "1 histogram:", "2 histogram:1 histogram:2", "1 other", "2 prog", "9", "a b c", "1"}) {
        CHECK(world.refused(std::string("@stats_create 0+8 8 ") + wrong) == "bad-message");
    }
    for (const char* wrong : {"@stats_list a b", "@stats_print", "@stats_print 0 1", "@stats_clear",
                              "@stats_print 0 x 1", "@stats_delete x", "@stats_set_aux 0", "@other",
                              "@stats_print 0 1 2 3"}) {
        CHECK(world.refused(wrong) == "bad-message");
    }
    for (const char* none : {"@stats_print 9", "@stats_clear 9", "@stats_delete 9",
                             "@stats_set_aux 9 x", "@stats_print_clear 9"}) {
        CHECK(world.refused(none) == "no-such-region");
    }
    CHECK(world.ask("@cancel_deferred_remove").empty());
}

TEST_CASE("[A-14] [V62] ids are the lowest that are free") {
    Regions world;
    for (int i = 0; i < 3; ++i) world.ask("@stats_create - 100");
    world.ask("@stats_delete 1");
    CHECK(world.ask("@stats_create - 100") == "1\n");
}

TEST_CASE("[T-13] messages with @ go to dm whatever the sector, others to the target there") {
    Regions world;
    CHECK(std::holds_alternative<std::string>(world.answer("@stats_list", 99'999)));
    CHECK(std::get<TableError>(world.answer("hello", 99'999)).slug == "no-such-sector");
    CHECK(std::get<TableError>(world.answer("hello", 0)).slug == "no-messages");
    CHECK(std::get<TableError>(world.answer("", 0)).slug == "empty-message");
}

TEST_CASE("[A-17] [V63] a print line: area, then 13 numbers") {
    Regions world;
    world.ask("@stats_create 0+10 4");
    const std::string text = world.ask("@stats_print 0");
    CHECK(text ==
          "0+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n4+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
          "8+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    CHECK(world.ask("@stats_print 0 1 1") == "4+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    CHECK(world.ask("@stats_print 0 - 1").starts_with("0+4 "));
    CHECK(world.ask("@stats_print 0 2 -").starts_with("8+4 "));
    CHECK(world.ask("@stats_print 0 7 1").empty());
}

TEST_CASE("[A-19] [V57] an I/O counts in every area it overlaps, with the sectors there") {
    Regions world;
    world.ask("@stats_create 0+1000 100");
    world.timed(Op::read, 90, 30, 4ms);
    CHECK(world.line(0, 0) == split("0+100 1 0 10 4 0 0 0 0 0 4 4 4 0"));
    CHECK(world.line(0, 1) == split("100+100 1 0 20 4 0 0 0 0 0 4 4 4 0"));
    world.timed(Op::discard, 0, 10, 2ms);
    world.io(*world.device_, Op::flush, 0, 0);
    CHECK(world.line(0, 0) == split("0+100 1 0 10 4 1 0 10 2 0 6 6 4 2"));
}

TEST_CASE("[A-22] [V58] sectors outside the region are not counted") {
    Regions world;
    world.ask("@stats_create 100+250 100");
    world.timed(Op::read, 50, 100, 0ms);
    world.timed(Op::read, 340, 100, 0ms);
    CHECK(world.line(0, 0)[3] == "50");
    CHECK(world.line(0, 1)[3] == "0");
    CHECK(world.line(0, 2)[3] == "10");
}

TEST_CASE("[A-18] weighted and busy times, in milliseconds or nanoseconds") {
    Regions world;
    world.ask("@stats_create - 1000");
    world.ask("@stats_create - 1000 1 precise_timestamps");
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    auto read = world.make(Op::read, 0, 8);
    auto write = world.make(Op::write, 100, 8);
    world.submit(*world.device_, *read);
    world.pass(3ms);
    world.submit(*world.device_, *write);
    world.pass(2ms + 500us);
    CHECK(world.line(0) == split("0+1000 0 0 0 0 0 0 0 0 2 5 8 5 2"));
    world.probe("a").finish_kept();
    world.run();
    world.pass(1s);
    CHECK(world.line(0) == split("0+1000 1 0 8 5 1 0 8 2 0 5 8 5 2"));
    CHECK(world.line(1) ==
          split("0+1000 1 0 8 5500000 1 0 8 2500000 0 5500000 8000000 5500000 2500000"));
}

TEST_CASE("[A-20] [V60] a duration goes to the bin above the bounds it reaches") {
    Regions world;
    world.ask("@stats_create - 1000 1 histogram:10,20,30");
    for (const int ms : {0, 9, 10, 19, 20, 29, 30, 1000}) {
        world.timed(Op::read, 0, 1, std::chrono::milliseconds(ms));
    }
    CHECK(world.line(0).back() == "2:2:2:2");
    CHECK(world.line(0).size() == 15);
    world.ask("@stats_clear 0");
    CHECK(world.line(0).back() == "0:0:0:0");
}

TEST_CASE("[A-21] merged: it goes on where the one before ended, in the same direction") {
    Regions world;
    world.ask("@stats_create - 1000");
    world.timed(Op::read, 10, 5, 0ms);
    world.timed(Op::read, 15, 5, 0ms);
    world.timed(Op::write, 20, 5, 0ms);
    world.timed(Op::write, 25, 5, 0ms);
    world.timed(Op::write, 40, 5, 0ms);
    CHECK(world.line(0)[2] == "1");
    CHECK(world.line(0)[6] == "1");
}

TEST_CASE("clearing keeps what is in flight; print_clear clears only the lines it printed") {
    Regions world;
    world.ask("@stats_create 0+200 100");
    world.timed(Op::read, 0, 8, 0ms);
    world.timed(Op::read, 100, 8, 0ms);
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    auto read = world.make(Op::read, 0, 8);
    world.submit(*world.device_, *read);
    CHECK(split(world.ask("@stats_print_clear 0 0 1"))[1] == "1");
    CHECK(world.line(0, 0)[1] == "0");
    CHECK(world.line(0, 0)[9] == "1");
    CHECK(world.line(0, 1)[1] == "1");
    world.ask("@stats_clear 0");
    CHECK(world.line(0, 1)[1] == "0");
    world.probe("a").finish_kept();
    world.run();
    CHECK(world.line(0, 0)[1] == "1");
    CHECK(world.line(0, 0)[9] == "0");
}

TEST_CASE("[A-15] a new region knows nothing of what is in flight, and ids that return neither") {
    Regions world;
    world.ask("@stats_create - 1000");
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    auto before = world.make(Op::read, 0, 8);
    world.submit(*world.device_, *before);
    world.ask("@stats_delete 0");
    world.ask("@stats_create - 1000");
    CHECK(world.line(0)[9] == "0");
    auto after = world.make(Op::read, 0, 4);
    world.submit(*world.device_, *after);
    CHECK(world.line(0)[9] == "1");
    world.probe("a").finish_kept();
    world.run();
    CHECK(world.line(0)[9] == "0");
    CHECK(world.line(0)[1] == "1");
    CHECK(world.line(0)[3] == "4");
    world.ask("@stats_delete 0");
    CHECK(world.ask("@stats_list").empty());
}

TEST_CASE("[D-3] [H-3] a requeued part of a split I/O counts once, in its own area") {
    Regions world;
    world.resume(*world.device_, "0 16 linear a 0\n16 984 linear a 16\n");
    world.ask("@stats_create 0+64 16");
    auto read = world.make(Op::read, 0, 64);
    world.probe("a").decide = [](const Bio&) { return Answer::keep; };
    world.submit(*world.device_, *read);
    world.device_->suspend(true, [] {});
    world.run();
    auto& kept = world.probe("a").kept;
    REQUIRE(kept.size() == 2);
    kept.front()->fail({.status = Status::requeue}, 0);
    kept.pop_front();
    world.probe("a").finish_kept();
    world.run();
    CHECK(world.line(0, 0)[9] == "0");
    CHECK(world.line(0, 0)[1] == "0");
    world.probe("a").decide = nullptr;
    world.resume(*world.device_);
    CHECK(read->answers == 1);
    for (std::size_t area = 0; area < 4; ++area) {
        CHECK(world.line(0, area)[1] == "1");
        CHECK(world.line(0, area)[3] == "16");
        CHECK(world.line(0, area)[9] == "0");
    }
}

TEST_CASE("regions see the I/O of all shards") {
    Regions world(1000, 2);
    world.ask("@stats_create - 1000");
    for (unsigned shard = 0; shard < 2; ++shard) {
        auto read = world.make(Op::read, 100 * shard, 8);
        world.submit(*world.device_, *read, shard);
        world.run();
    }
    CHECK(world.line(0)[1] == "2");
    CHECK(world.line(0)[3] == "16");
}
