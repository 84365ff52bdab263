// dust (dm-semantics 7.7).
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;

namespace {

std::string send(World& world, MappedDevice& device, const std::string& text) {
    std::vector<std::string> words;
    std::istringstream split(text);
    for (std::string word; split >> word;) words.push_back(word);
    std::string answer = "none";
    device.message(0, words, [&](MessageAnswer got) {
        const auto* error = std::get_if<TableError>(&got);
        answer = error != nullptr ? "! " + error->message : std::get<std::string>(got);
    });
    world.run();
    return answer;
}

struct Disk {
    World world;
    Probe& d = world.probe("d", 1024);
    MappedDevice* device = nullptr;

    void dust(const std::string& args, std::uint64_t sectors = 1000) {
        const std::string name = "m" + std::to_string(++made);
        device = &world.device(name, "0 " + std::to_string(sectors) + " dust " + args);
    }
    std::string say(const std::string& text) { return send(world, *device, text); }
    bool refuses(const std::string& text) { return say(text).starts_with("! "); }
    Status io(Op op, std::uint64_t sector, std::uint64_t sectors) {
        return world.io(*device, op, sector, sectors)->status();
    }
    const Table& table() { return *device->lane(0).table(); }
    std::string error_of(const std::string& row, int* word = nullptr) {
        try {
            world.build("bad", row);
        } catch (const TableError& error) {
            if (word != nullptr) *word = error.word;
            return error.slug;
        }
        return {};
    }
    int made = 0;
};

}  // namespace

TEST_CASE_FIXTURE(Disk, "it begins in bypass, verbose, without a list (7.7, 6.5)") {
    dust("d 8 512");
    CHECK(table().status_text() == "0 1000 dust d bypass verbose\n");
    CHECK(table().table_text() == "0 1000 dust d 8 512\n");
    CHECK(table().table_text(TextForm::full) == table().table_text());
    CHECK(say("listbadblocks") == "No blocks in badblocklist\n");
    CHECK(say("enable").empty());
    CHECK(table().status_text() == "0 1000 dust d fail_read_on_bad_block verbose\n");
    CHECK(say("quiet").empty());
    CHECK(table().status_text() == "0 1000 dust d fail_read_on_bad_block quiet\n");
    say("disable");
    say("quiet");
    CHECK(table().status_text() == "0 1000 dust d bypass verbose\n");
}

TEST_CASE_FIXTURE(Disk, "reads and writes are cut at its blocks ([DU-1])") {
    dust("d 3 4096");
    io(Op::read, 6, 12);
    CHECK(d.ranges() == Ranges{{9, 2}, {11, 8}, {19, 2}});
}

TEST_CASE_FIXTURE(Disk, "blocks are those of the device below ([DU-2], V78, V79)") {
    dust("d 0 4096");
    say("addbadblock 7");
    say("enable");
    CHECK(io(Op::read, 60, 1) == Status::io_error);
    CHECK(io(Op::read, 55, 1) == Status::ok);
    CHECK(io(Op::read, 64, 1) == Status::ok);
    dust("d 8 4096");
    say("addbadblock 1");
    say("enable");
    CHECK(io(Op::read, 0, 1) == Status::io_error);
    CHECK(io(Op::read, 8, 1) == Status::ok);
    // A start inside a block: a part of two blocks is judged by the first.
    dust("d 4 4096");
    say("addbadblock 1");
    say("enable");
    CHECK(io(Op::read, 0, 8) == Status::ok);
    CHECK(io(Op::read, 8, 8) == Status::io_error);
}

TEST_CASE_FIXTURE(Disk, "reads of a bad block fail and a write mends it ([DU-3], [DU-4])") {
    dust("d 0 512");
    say("addbadblock 5");
    CHECK(io(Op::read, 5, 1) == Status::ok);  // Not enabled yet [DU-6].
    say("enable");
    d.seen.clear();
    const auto read = world.io(*device, Op::read, 5, 1);
    CHECK(read->status() == Status::io_error);
    CHECK(read->bio.failure.injected);
    CHECK(std::string(read->bio.failure.where) == "dust bad block on 'm1'");
    CHECK(read->bio.failure.sector == 5);
    CHECK(d.seen.empty());
    CHECK(world.stats(*device).ops[0].ios == 1);  // A refused one is no I/O.
    CHECK(say("queryblock 5") == "dust_query_block: block 5 found in badblocklist\n");
    CHECK(io(Op::write, 5, 1) == Status::ok);
    CHECK(io(Op::read, 5, 1) == Status::ok);
    CHECK(say("queryblock 5") == "dust_query_block: block 5 not found in badblocklist\n");
    // The good parts of a request are done.
    say("addbadblock 5");
    d.seen.clear();
    CHECK(io(Op::read, 4, 3) == Status::io_error);
    CHECK(d.ranges() == Ranges{{4, 1}, {6, 1}});
    // So does one of zeroes, which are written here (1.9).
    CHECK(io(Op::write_zeroes, 5, 1) == Status::ok);
    CHECK(io(Op::read, 5, 1) == Status::ok);
}

TEST_CASE_FIXTURE(Disk, "a block may fail some writes before one mends it ([DU-4], V80)") {
    dust("d 0 512");
    say("addbadblock 3 2");
    say("enable");
    d.seen.clear();
    CHECK(io(Op::write, 3, 1) == Status::io_error);
    CHECK(io(Op::read, 3, 1) == Status::io_error);
    CHECK(io(Op::write, 3, 1) == Status::io_error);
    CHECK(d.seen.empty());
    CHECK(io(Op::write, 3, 1) == Status::ok);
    CHECK(io(Op::read, 3, 1) == Status::ok);
}

TEST_CASE_FIXTURE(Disk, "flushes pass, discards are judged by all they touch ([D-8] for [DU-5])") {
    dust("d 0 512");
    for (const char* text : {"addbadblock 0 1", "addbadblock 10", "addbadblock 12 1", "enable"}) {
        CHECK(say(text).empty());
    }
    CHECK(io(Op::flush, 0, 0) == Status::ok);
    CHECK(say("countbadblocks") == "countbadblocks: 3 badblock(s) found\n");
    d.seen.clear();
    CHECK(io(Op::discard, 9, 8) == Status::io_error);  // 12 refuses, so 10 is not mended either.
    CHECK(d.seen.empty());
    CHECK(io(Op::read, 10, 1) == Status::io_error);
    CHECK(io(Op::discard, 9, 3) == Status::ok);
    CHECK(d.ranges() == Ranges{{9, 3}});
    CHECK(say("listbadblocks") == "0\n12\n");
    CHECK(io(Op::discard, 9, 4) == Status::ok);
    CHECK(say("listbadblocks") == "0\n");
    CHECK(io(Op::discard, 1, 100) == Status::ok);
    CHECK(say("listbadblocks") == "0\n");
}

TEST_CASE_FIXTURE(Disk, "in bypass the list is kept and can be changed ([DU-6])") {
    dust("d 0 512");
    say("enable");
    say("addbadblock 3");
    say("disable");
    CHECK(io(Op::read, 3, 1) == Status::ok);
    CHECK(io(Op::write, 3, 1) == Status::ok);
    CHECK(io(Op::discard, 0, 8) == Status::ok);
    CHECK(say("addbadblock 4").empty());
    CHECK(say("removebadblock 4").empty());
    say("enable");
    CHECK(io(Op::read, 3, 1) == Status::io_error);
    CHECK(io(Op::read, 4, 1) == Status::ok);
}

TEST_CASE_FIXTURE(Disk,
                  "messages answer as dust's do, in any case of letters (7.7, [T-6], [T-14])") {
    dust("d 0 512");
    CHECK(say("countbadblocks") == "countbadblocks: 0 badblock(s) found\n");
    CHECK(say("clearbadblocks") == "dust_clear_badblocks: no badblocks found\n");
    CHECK(say("AddBadBlock 60").empty());
    CHECK(say("addbadblock 7 255").empty());
    CHECK(say("QUERYBLOCK 60") == "dust_query_block: block 60 found in badblocklist\n");
    CHECK(say("queryblock 61") == "dust_query_block: block 61 not found in badblocklist\n");
    CHECK(say("countbadblocks") == "countbadblocks: 2 badblock(s) found\n");
    CHECK(say("listBadBlocks") == "7\n60\n");
    CHECK(say("removebadblock 60").empty());
    CHECK(say("listbadblocks") == "7\n");
    CHECK(say("clearbadblocks") == "dust_clear_badblocks: badblocks cleared\n");
    CHECK(say("clearbadblocks") == "dust_clear_badblocks: no badblocks found\n");
}

TEST_CASE_FIXTURE(Disk, "messages that dust refuses change nothing (7.7)") {
    dust("d 0 512");
    say("addbadblock 5");
    for (const char* text : {"nosuch",
                             "enable now",
                             "disable 1",
                             "quiet 1",
                             "countbadblocks 1",
                             "listbadblocks 1",
                             "clearbadblocks 1",
                             "addbadblock",
                             "removebadblock",
                             "queryblock",
                             "addbadblock x",
                             "addbadblock 5",
                             "addbadblock 5 1",
                             "addbadblock 6 256",
                             "addbadblock 6 x",
                             "addbadblock 6 1 1",
                             "addbadblock -1",
                             "addbadblock +6",
                             "addbadblock 6x",
                             "removebadblock 6",
                             "removebadblock 5 1",
                             "queryblock 5 1",
                             "queryblock 1025",
                             "removebadblock 1025",
                             "addbadblock 1025",
                             "addbadblock 18446744073709551616"}) {
        CAPTURE(text);
        CHECK(refuses(text));
    }
    CHECK(say("listbadblocks") == "5\n");
    CHECK(table().status_text() == "0 1000 dust d bypass verbose\n");
    CHECK(say("addbadblock 5") == "! block 5 is a bad block already");
    CHECK(say("addbadblock 1025") == "! block is at most 1024");
}

TEST_CASE_FIXTURE(Disk, "one block too many is taken, of the device and not of the row (7.7)") {
    dust("d 0 4096", 80);
    CHECK(say("addbadblock 11").empty());   // Past the row.
    CHECK(say("addbadblock 127").empty());  // The last one of 1024 sectors.
    CHECK(say("addbadblock 128").empty());
    CHECK(refuses("addbadblock 129"));
}

TEST_CASE_FIXTURE(Disk, "what dm refuses is refused (6.7, V93)") {
    int word = 0;
    CHECK(error_of("0 8 dust d 0") == "argument-count");
    CHECK(error_of("0 8 dust d 0 512 1", &word) == "argument-count");
    CHECK(word == 3);
    CHECK(error_of("0 8 dust d 0 256", &word) == "block-size");
    CHECK(word == 2);
    CHECK(error_of("0 8 dust d 0 0") == "block-size");
    CHECK(error_of("0 8 dust d 0 1000") == "block-size");
    CHECK(error_of("0 8 dust d 0 8192") == "block-size");
    CHECK(error_of("0 8 dust d 0 4096").empty());
    CHECK(error_of("0 8 dust d 0 +4096").empty());  // 6.2
    CHECK(error_of("0 8 dust d 0 x") == "bad-number");
    CHECK(error_of("0 8 dust d x 512") == "bad-number");
    CHECK(error_of("0 8 dust x 0 512") == "unknown-device");
    CHECK(error_of("0 1000 dust d 100 512") == "past-end");
    world.probe("large", 10'000'000);
    CHECK(error_of("0 10000000 dust large 0 1073741824").empty());
    CHECK(error_of("0 10000000 dust large 0 2147483648") == "block-size");
}

TEST_CASE_FIXTURE(Disk, "our own words begin with a list, which only the full text shows") {
    dust("d 8 512 bad_blocks 60,100-102,7 enabled");
    CHECK(table().table_text() == "0 1000 dust d 8 512\n");
    CHECK(table().table_text(TextForm::full) ==
          "0 1000 dust d 8 512 bad_blocks 60,100-102,7 enabled\n");
    CHECK(say("listbadblocks") == "7\n60\n100\n101\n102\n");
    CHECK(io(Op::read, 52, 1) == Status::io_error);
    say("clearbadblocks");  // The words stay what a load begins with.
    CHECK(table().table_text(TextForm::full).ends_with(" bad_blocks 60,100-102,7 enabled\n"));
    CHECK(error_of(table().table_text(TextForm::full)).empty());
    dust("d 8 512 BAD_BLOCKS 60");
    CHECK(table().status_text() == "0 1000 dust d bypass verbose\n");
    CHECK(io(Op::read, 52, 1) == Status::ok);
    dust("d 8 512 enabled");
    CHECK(table().status_text() == "0 1000 dust d fail_read_on_bad_block verbose\n");
}

TEST_CASE_FIXTURE(Disk, "a list that is wrong is pointed at") {
    for (const char* list : {"x", "1,", ",1", "1,,2", "5-3", "1-", "-1", "1-2-3", "1025", "0-1025",
                             "18446744073709551615"}) {
        CAPTURE(list);
        int word = 0;
        CHECK(error_of(std::string("0 8 dust d 0 512 enabled bad_blocks ") + list, &word) ==
              "bad-number");
        CHECK(word == 5);
    }
    CHECK(error_of("0 8 dust d 0 512 bad_blocks") == "argument-count");
    CHECK(error_of("0 8 dust d 0 512 bad_blocks 0-1024").empty());
    world.probe("large", 10'000'000);
    CHECK(error_of("0 8 dust large 0 512 bad_blocks 0-1048575").empty());
    CHECK(error_of("0 8 dust large 0 512 bad_blocks 0-1048576") == "too-many-blocks");
    CHECK(error_of("0 8 dust large 0 512 bad_blocks 0-1048574,5000000,5000001") ==
          "too-many-blocks");
}

TEST_CASE_FIXTURE(Disk, "a message can't grow the list without end either") {
    Probe& large = world.probe("large", 10'000'000);
    CHECK(large.limits().size_sectors == 10'000'000);
    dust("large 0 512 bad_blocks 0-1048574");
    CHECK(say("addbadblock 2000000").empty());
    CHECK(say("addbadblock 2000001") == "! there are 1048576 bad blocks already");
}

TEST_CASE_FIXTURE(Disk, "a new table begins with its own list") {
    dust("d 0 512");
    say("addbadblock 5");
    say("enable");
    world.resume(*device, "0 1000 dust d 0 512");
    CHECK(say("listbadblocks") == "No blocks in badblocklist\n");
    CHECK(io(Op::read, 5, 1) == Status::ok);
    // Suspend and resume keep it.
    say("addbadblock 6");
    say("enable");
    world.suspend(*device);
    CHECK(say("addbadblock 7").empty());
    world.resume(*device);
    CHECK(io(Op::read, 6, 2) == Status::io_error);
    CHECK(say("listbadblocks") == "6\n7\n");
}

TEST_CASE("every lane sees a change before its answer, and all mend one list ([O-9])") {
    World world(3);
    world.probe("d", 1024);
    MappedDevice& device = world.device("m", "0 1000 dust d 0 512");
    const auto io = [&](Op op, unsigned lane) {
        auto request = world.make(op, 5, 1);
        world.submit(device, *request, lane);
        world.run();
        return request->status();
    };
    send(world, device, "enable");
    bool answered = false;
    device.message(0, {"addbadblock", "5", "1"}, [&](const MessageAnswer&) {
        answered = true;
        for (const unsigned lane : {0U, 1U, 2U}) {
            auto request = world.make(Op::read, 5, 1);
            request->bio.agenda = &world.agenda(lane);
            device.lane(lane).submit(request->bio);
            world.agenda(lane).run_all();
            CHECK(request->status() == Status::io_error);
        }
    });
    world.run();
    CHECK(answered);
    CHECK(io(Op::write, 1) == Status::io_error);  // The one write that fails.
    CHECK(io(Op::write, 2) == Status::ok);
    CHECK(io(Op::read, 0) == Status::ok);
    CHECK(send(world, device, "countbadblocks") == "countbadblocks: 0 badblock(s) found\n");
    for (const unsigned lane : {0U, 1U, 2U}) {
        CHECK(device.lane(lane).table()->status_text() ==
              "0 1000 dust d fail_read_on_bad_block verbose\n");
    }
}

TEST_CASE_FIXTURE(Disk, "each row has a list of its own, found by the message's sector ([T-13])") {
    device = &world.device("m", "0 8 dust d 0 512\n8 8 dust d 8 512");
    std::string text = "none";
    device->message(8, {"addbadblock", "9"}, [](const MessageAnswer&) {});
    device->message(15, {"countbadblocks"},
                    [&](MessageAnswer got) { text = std::get<std::string>(got); });
    world.run();
    CHECK(text == "countbadblocks: 1 badblock(s) found\n");
    CHECK(say("countbadblocks") == "countbadblocks: 0 badblock(s) found\n");
    CHECK(table().rows()[1].target->state_text() == "1 bad blocks, disabled");
}
