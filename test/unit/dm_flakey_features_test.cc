// Why: scripts probe for flakey's features by whether a create succeeds (dm-semantics 7.3, 8.1), so
// what is refused matters as much as what is done.
#include <doctest/doctest.h>

#include "stack.h"

using namespace stack;

namespace {

struct Disk {
    World world;
    Probe& d = world.probe("d", 1000);
    int made = 0;

    MappedDevice& down(const std::string& features) {
        return world.device("m" + std::to_string(++made), "0 100 flakey d 0 0 180 " + features);
    }
    /// What the table of such a device prints of its features.
    std::string text(const std::string& features) {
        const std::string all = down(features).lane(0).table()->table_text();
        return all.substr(std::string("0 100 flakey d 0 0 180 ").size());
    }
    /// "SLUG at WORD" of the refusal; empty: it is taken.
    std::string refusal(const std::string& words) {
        try {
            world.build("m", "0 100 flakey " + words);
        } catch (const TableError& error) {
            return error.slug + " at " + std::to_string(error.word);
        }
        return {};
    }
    std::string feature_refusal(const std::string& features) {
        return refusal("d 0 0 180 " + features);
    }
    Status io(MappedDevice& device, Op op) {
        return world.io(device, op, 0, op == Op::flush ? 0 : 1)->status();
    }
};

constexpr const char* everything = "2 error_reads error_writes\n";

}  // namespace

TEST_CASE_FIXTURE(Disk, "without features, or with none that count, all fails ([F-1], V66)") {
    for (const char* features : {"", "0", "2 random_read_corrupt 0", "2 random_write_corrupt 0"}) {
        CAPTURE(features);
        CHECK(text(features) == everything);
        MappedDevice& device = down(features);
        for (const Op op : {Op::read, Op::write, Op::flush, Op::discard, Op::write_zeroes}) {
            CHECK(io(device, op) == Status::io_error);
        }
    }
    CHECK(d.seen.empty());
}

TEST_CASE_FIXTURE(Disk, "three words may not be repeated; of values the last counts ([F-2])") {
    CHECK(feature_refusal("2 error_reads error_reads") == "bad-feature at 6");
    CHECK(feature_refusal("2 drop_writes drop_writes") == "bad-feature at 6");
    CHECK(feature_refusal("2 error_writes ERROR_WRITES") == "bad-feature at 6");
    CHECK(text("10 corrupt_bio_byte 1 r 2 0 corrupt_bio_byte 3 r 4 0") ==
          "5 corrupt_bio_byte 3 r 4 0\n");
    CHECK(text("4 random_read_corrupt 5 random_read_corrupt 6") == "2 random_read_corrupt 6\n");
}

TEST_CASE_FIXTURE(Disk,
                  "what drops or fails writes goes with nothing else for them "
                  "([F-3], [F-4], V69, V75)") {
    CHECK(feature_refusal("2 drop_writes error_writes") == "bad-feature at 4");
    CHECK(feature_refusal("2 error_writes drop_writes") == "bad-feature at 4");
    CHECK(feature_refusal("6 drop_writes corrupt_bio_byte 1 w 0 0") == "bad-feature at 4");
    CHECK(feature_refusal("6 corrupt_bio_byte 1 w 0 0 error_writes") == "bad-feature at 4");
    CHECK(feature_refusal("6 drop_writes corrupt_bio_byte 1 r 0 0").empty());
    CHECK(feature_refusal("3 error_writes random_write_corrupt 5").empty());  // As in 6.12.
}

TEST_CASE_FIXTURE(Disk, "failed reads win over corrupted ones ([F-5], V76)") {
    MappedDevice& device = down("8 error_reads corrupt_bio_byte 1 r 255 0 random_read_corrupt 9");
    const auto read = world.io(device, Op::read, 0, 1);
    CHECK(read->status() == Status::io_error);
    CHECK(read->data[0] == std::byte{0});
    CHECK(io(device, Op::write) == Status::ok);
    CHECK(text("7 error_writes corrupt_bio_byte 1 r 255 0 error_reads") ==
          "7 error_reads error_writes corrupt_bio_byte 1 r 255 0\n");
}

TEST_CASE_FIXTURE(Disk, "a group that is cut short is refused ([F-6])") {
    CHECK(feature_refusal("3 corrupt_bio_byte 1 w") == "bad-feature at 5");
    CHECK(feature_refusal("4 corrupt_bio_byte 1 w 0 0") == "bad-feature at 5");  // By its count.
    CHECK(feature_refusal("1 random_read_corrupt 5") == "bad-feature at 5");
    CHECK(feature_refusal("5 drop_writes") == "bad-feature at 4");  // Announced, but not there.
    CHECK(feature_refusal("12 error_reads") == "bad-number at 4");
    CHECK(feature_refusal("x error_reads") == "bad-number at 4");
}

TEST_CASE_FIXTURE(Disk, "unknown words are refused, those behind the group are not read ([F-7])") {
    CHECK(feature_refusal("1 drop_reads") == "unknown-feature at 5");
    CHECK(feature_refusal("2 error_reads 5") == "unknown-feature at 6");
    CHECK(text("1 DROP_WRITES error_writes") == "1 drop_writes\n");  // V70, [T-6]
    CHECK(text("0 nonsense") == everything);
}

TEST_CASE_FIXTURE(Disk, "values have bounds, and intervals a sum (7.3.1, V71)") {
    CHECK(feature_refusal("5 corrupt_bio_byte 0 r 0 0") == "bad-number at 6");
    CHECK(feature_refusal("5 corrupt_bio_byte 4294967296 r 0 0") == "bad-number at 6");
    CHECK(feature_refusal("5 corrupt_bio_byte 1 x 0 0") == "bad-feature at 7");
    CHECK(feature_refusal("5 corrupt_bio_byte 1 r 256 0") == "bad-number at 8");
    CHECK(feature_refusal("5 corrupt_bio_byte 1 r 0 4294967296") == "bad-number at 9");
    CHECK(feature_refusal("2 random_write_corrupt 1000000001") == "bad-number at 6");
    CHECK(refusal("d 0 180") == "argument-count at -1");
    CHECK(refusal("d x 0 180") == "bad-number at 1");
    CHECK(refusal("d 0 -1 180") == "bad-number at 2");
    CHECK(refusal("d 0 0 0") == "bad-interval at 3");
    CHECK(refusal("d 0 4294967295 0").empty());
    CHECK(refusal("d 0 4294967295 1") == "bad-interval at 3");  // The kernel's sum is 0 here...
    CHECK(refusal("d 0 4294967295 2") == "bad-interval at 3");  // ...and past 2^32 here.
    CHECK(refusal("d 0 1xms 1") == "bad-number at 2");
    CHECK(refusal("nowhere 0 0 180") == "unknown-device at 0");
}

TEST_CASE_FIXTURE(Disk, "each row is decided for itself: half a request may be dropped ([F-12])") {
    MappedDevice& device = world.device("m",
                                        "0 8 flakey d 0 0 180 1 drop_writes\n8 8 flakey d 8 180 0\n"
                                        "16 8 flakey d 16 0 180 1 error_writes");
    CHECK(world.io(device, Op::write, 4, 8, 1)->status() == Status::ok);
    CHECK(d.ranges() == Ranges{{8, 4}});
    CHECK(world.io(device, Op::write, 12, 8, 1)->status() == Status::io_error);
    CHECK(d.ranges() == Ranges{{8, 4}, {12, 4}});
}

TEST_CASE_FIXTURE(Disk, "flushes and discards are never corrupted, zeroes are writes ([F-13])") {
    MappedDevice& device =
        down("9 corrupt_bio_byte 1 w 255 0 random_write_corrupt 1000000000 random_read_corrupt 0");
    CHECK(io(device, Op::flush) == Status::ok);
    CHECK(world.io(device, Op::discard, 8, 8)->status() == Status::ok);
    CHECK(d.seen == std::vector<Probe::Seen>{{Op::flush, 0, 0, false, nullptr},
                                             {Op::discard, 8, 8, false, nullptr}});
    CHECK(world.io(device, Op::read, 8, 8)->data == std::vector<std::byte>(8 * 512));
    world.io(device, Op::write_zeroes, 8, 8);
    CHECK(world.io(device, Op::read, 8, 8)->data != std::vector<std::byte>(8 * 512));
}

TEST_CASE_FIXTURE(Disk, "FUA is no exemption ([F-14])") {
    const auto write = [&](MappedDevice& device) {
        auto request = world.make(Op::write, 0, 1, 1);
        request->bio.fua = true;
        world.submit(device, *request);
        world.run();
        return request->status();
    };
    CHECK(write(down("1 drop_writes")) == Status::ok);
    CHECK(write(down("1 error_writes")) == Status::io_error);
    CHECK(d.seen.empty());
    CHECK(write(down("5 corrupt_bio_byte 1 w 255 0")) == Status::ok);
    CHECK(world.io(down("1 drop_writes"), Op::read, 0, 1)->data[0] == std::byte{255});
}
