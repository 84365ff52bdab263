// log-writes (dm-semantics 7.8).
#include <doctest/doctest.h>

#include "unit/log_file.h"

using namespace stack;

namespace {

struct Disk {
    std::vector<std::unique_ptr<Request>> started;  // Outlives the world.
    World world;
    Probe& data = world.probe("d", 4000);
    Probe& log = world.probe("l", 8000);
    MappedDevice* device = nullptr;
    bool gone = false;  // retire() is done, if late.

    void start(const std::string& table = "0 4000 log-writes d l") {
        device = &world.device("m", table);
    }
    Request& io(Op op, std::uint64_t sector, std::uint64_t sectors, bool fua = false) {
        started.push_back(world.make(op, sector, sectors, std::uint8_t(sector + 1)));
        started.back()->bio.fua = fua;
        world.submit(*device, *started.back());
        world.run();
        return *started.back();
    }
    void flush() { io(Op::flush, 0, 0); }
    std::string send(std::vector<std::string> words) {
        std::string slug = "none";
        device->message(0, std::move(words), [&](MessageAnswer answer) {
            const auto* error = std::get_if<TableError>(&answer);
            slug = error == nullptr ? std::get<std::string>(answer) : error->slug;
        });
        world.run();
        return slug;
    }
    /// The table goes.
    bool retire() {
        device->retire([this] { gone = true; });
        world.run();
        return gone;
    }
    std::string status() {
        const std::string text = device->lane(0).table()->status_text();
        return text.substr(18, text.size() - 19);  // Without "0 4000 log-writes ", and the end.
    }
    std::string entries() { return summary(logged(content(log))); }
    std::string error_of(const std::string& table) {
        try {
            world.build("bad", table);
        } catch (const TableError& error) {
            return error.slug;
        }
        return {};
    }
    static Answer keep(const Bio&) { return Answer::keep; }
    void finish(std::size_t index) {
        Bio* bio = data.kept[index];
        data.kept.erase(data.kept.begin() + static_cast<std::ptrdiff_t>(index));
        data.finish(*bio);
        world.run();
    }
};

std::vector<std::uint64_t> headers(Probe& log) {
    std::vector<std::uint64_t> sectors;
    for (const Logged& each : logged(content(log))) sectors.push_back(each.sector);
    return sectors;
}

}  // namespace

TEST_CASE_FIXTURE(Disk, "a fresh log has no entry and no super (V81, [LW-11])") {
    start();
    CHECK(status() == "0 0");
    CHECK(log.seen.empty());
}

TEST_CASE_FIXTURE(Disk, "a fresh log of blocks of 4096 bytes (V81)") {
    DeviceOptions options;
    options.block_bytes = 4096;
    world.device("b", "0 4000 linear d 0", options);
    start("0 4000 log-writes b l");
    CHECK(status() == "0 7");
}

TEST_CASE_FIXTURE(Disk, "where entries lie, and what the super says (V82, [LW-2], [LW-7])") {
    start();
    io(Op::write, 40, 8);
    CHECK(status() == "0 0");
    flush();
    CHECK(status() == "2 10");
    CHECK(entries().empty());  // No super yet.
    CHECK(send({"mark", "mkfs"}).empty());
    CHECK(status() == "3 11");
    CHECK(headers(log) == std::vector<std::uint64_t>{1, 10, 11});
    CHECK(entries() == "W40+8 F Mmkfs");
    const std::vector<std::byte> bytes = content(log);
    const auto super = log_format::get_super(bytes.data());
    CHECK(super.entries == 3);
    CHECK(super.block_bytes == 512);
    CHECK(super.version == 1);
    for (std::size_t i = 2 * 512; i < 10 * 512; ++i) REQUIRE(bytes[i] == std::byte{41});
    for (std::size_t i = 28; i < 512; ++i) REQUIRE(bytes[i] == std::byte{0});
    for (std::size_t i = 512 + 32; i < 1024; ++i) REQUIRE(bytes[i] == std::byte{0});
}

TEST_CASE_FIXTURE(Disk, "every byte of a log as Linux writes it ([LW-2])") {
    start();
    io(Op::write, 3, 1, true);
    const std::vector<std::byte> bytes = content(log);
    std::vector<std::byte> expected(3 * 512);
    const unsigned char super[] = {0x72, 0x68, 0x73, 0x77, 0x66, 0x73, 0x6a, 0, 1, 0, 0, 0, 0, 0,
                                   0,    0,    1,    0,    0,    0,    0,    0, 0, 0, 0, 2, 0, 0};
    for (std::size_t i = 0; i < sizeof super; ++i) expected[i] = std::byte{super[i]};
    expected[512] = std::byte{3};       // sector
    expected[512 + 8] = std::byte{1};   // nr_sectors
    expected[512 + 16] = std::byte{2};  // FUA
    for (std::size_t i = 1024; i < 1536; ++i) expected[i] = std::byte{4};
    CHECK(std::equal(expected.begin(), expected.end(), bytes.begin()));
}

TEST_CASE_FIXTURE(Disk, "sectors of the log are blocks of the data device (V83)") {
    DeviceOptions options;
    options.block_bytes = 4096;
    world.device("b", "0 4000 linear d 0", options);
    start("0 4000 log-writes b l");
    io(Op::write, 64, 16);
    flush();
    CHECK(status() == "2 39");
    send({"mark", std::string(5000, 'x')});
    const auto all = logged(content(log));
    REQUIRE(all.size() == 3);
    CHECK(all[0].header.block == 8);
    CHECK(all[0].header.blocks == 2);
    CHECK(headers(log) == std::vector<std::uint64_t>{8, 32, 40});
    CHECK(all[2].text == std::string(4096 - 33, 'x'));
    CHECK(device->lane(0).limits().logical_block_bytes == 4096);
}

TEST_CASE_FIXTURE(Disk, "a discard has no data (V84)") {
    start();
    io(Op::discard, 0, 2048);
    flush();
    CHECK(status() == "2 2");
    CHECK(retire());
    CHECK(headers(log) == std::vector<std::uint64_t>{1, 2, 3});
    CHECK(entries() == "D0+2048 F Mdm-log-writes-end");
}

TEST_CASE_FIXTURE(Disk,
                  "entries in the order of completion; a flush takes those before it "
                  "(V85, [LW-4])") {
    start();
    data.decide = keep;
    for (const std::uint64_t sector : {1U, 2U, 3U}) io(Op::write, sector, 1);
    finish(2);
    finish(1);
    flush();
    finish(0);  // W1: after the flush was issued.
    finish(0);
    send({"mark", "a"});
    CHECK(entries() == "W3+1 W2+1 F Ma");
    CHECK(retire());
    CHECK(entries() == "W3+1 W2+1 F Ma W1+1 Mdm-log-writes-end");
}

TEST_CASE_FIXTURE(Disk, "two flushes share nothing, whichever completes first ([LW-4])") {
    start();
    io(Op::write, 1, 1);
    data.decide = keep;
    flush();
    data.decide = nullptr;
    io(Op::write, 2, 1);
    flush();
    finish(0);
    send({"mark", "a"});
    CHECK(entries() == "W2+1 F W1+1 F Ma");
}

TEST_CASE_FIXTURE(Disk, "a FUA write goes ahead of what is unflushed ([LW-5], [LW-7])") {
    start();
    io(Op::write, 1, 1);
    io(Op::write, 2, 1, true);
    CHECK(entries() == "U2+1");
    flush();
    CHECK(entries() == "U2+1");  // The super is as it was.
    io(Op::write, 3, 1, true);
    CHECK(entries() == "U2+1 W1+1 F U3+1");
}

TEST_CASE_FIXTURE(Disk, "reads are not logged, zeroes are, as the writes they become ([LW-3])") {
    start();
    io(Op::read, 1, 1);
    io(Op::write_zeroes, 4, 2);
    flush();
    send({"mark", "a"});
    CHECK(entries() == "W4+2 F Ma");
    CHECK(logged(content(log))[0].data == std::vector<std::byte>(1024));
}

TEST_CASE_FIXTURE(Disk, "data are those of the time of mapping, of all segments ([LW-3])") {
    start();
    data.decide = keep;
    started.push_back(world.make(Op::write, 7, 3, 0, 700));
    Request& write = *started.back();
    fill(write.data, 7);
    write.bio.fua = true;
    world.submit(*device, write);
    world.run();
    std::fill(write.data.begin(), write.data.end(), std::byte{0});
    finish(0);
    const auto all = logged(content(log));
    REQUIRE(all.size() == 1);
    CHECK(is_filled(all[0].data, 7));
}

TEST_CASE_FIXTURE(Disk, "failed writes are logged all the same ([LW-6])") {
    start();
    data.decide = [](const Bio&) { return Answer::fail; };
    CHECK(io(Op::write, 1, 1).status() == Status::io_error);
    CHECK(io(Op::flush, 0, 0).status() == Status::io_error);
    send({"mark", "a"});
    CHECK(entries() == "W1+1 F Ma");
}

TEST_CASE_FIXTURE(Disk, "sectors are those of the device below ([LW-1])") {
    start("0 100 log-writes d l");
    io(Op::write, 17, 2);
    CHECK(data.ranges() == Ranges{{17, 2}});
    CHECK(error_of("0 8 linear d 0\n8 8 log-writes d l") == "not-first");  // [D-8]
    CHECK(device->lane(0).limits().write_cache);                           // [L-6]
}

TEST_CASE_FIXTURE(Disk, "marks are two words, cut to the block ([LW-8])") {
    start();
    CHECK(send({"mark"}) == "bad-message");
    CHECK(send({"mark", "a", "b"}) == "bad-message");
    CHECK(send({"remark", "a"}) == "bad-message");
    CHECK(send({"MARK", std::string(600, 'y')}).empty());  // [T-6]
    CHECK(send({"mark", "b"}).empty());
    CHECK(entries() == "M" + std::string(512 - 33, 'y') + " Mb");
    CHECK(content(log)[512 + 511] == std::byte{0});
}

TEST_CASE_FIXTURE(Disk, "a table that goes ends its log, and waits for it ([LW-9])") {
    start();
    io(Op::write, 1, 1);
    log.decide = keep;
    CHECK_FALSE(retire());
    CHECK(log.kept.size() == 2);  // The write and the mark; the super comes after them.
    log.finish_kept();
    world.run();
    CHECK(log.kept.size() == 1);
    CHECK(entries().empty());
    log.finish_kept();
    world.run();
    CHECK(entries() == "W1+1 Mdm-log-writes-end");
    CHECK(status() == "2 3");
}

TEST_CASE_FIXTURE(Disk, "a swap ends the old log before the new one begins ([LW-9])") {
    start();
    io(Op::write, 1, 1);
    Probe& other = world.probe("o", 100);
    world.resume(*device, "0 4000 log-writes d o");
    CHECK(entries() == "W1+1 Mdm-log-writes-end");
    io(Op::write, 2, 1, true);
    CHECK(summary(logged(content(other))) == "U2+1");
    world.resume(*device, "0 4000 log-writes d l");
    io(Op::write, 3, 1, true);
    CHECK(entries() == "U3+1");
    CHECK(summary(logged(content(other))) == "U2+1 Mdm-log-writes-end");
}

TEST_CASE_FIXTURE(Disk, "a suspend alone ends nothing ([LW-9])") {
    start();
    io(Op::write, 1, 1);
    CHECK(world.suspend(*device));
    CHECK(send({"mark", "asleep"}).empty());
    world.resume(*device);
    flush();
    io(Op::write, 2, 1, true);
    CHECK(entries() == "Masleep W1+1 F U2+1");
}

TEST_CASE_FIXTURE(Disk, "the super counts only what is on the log, and never goes back ([LW-7])") {
    start();
    log.decide = keep;
    io(Op::write, 1, 1, true);
    io(Op::write, 2, 1, true);
    REQUIRE(log.kept.size() == 2);
    const auto end = [&](std::size_t index) {
        Bio* bio = log.kept[index];
        log.kept.erase(log.kept.begin() + static_cast<std::ptrdiff_t>(index));
        log.finish(*bio);
        world.run();
    };
    end(1);
    CHECK(log.kept.size() == 1);  // The second is there, but not the one before it.
    end(0);
    REQUIRE(log.kept.size() == 1);  // One super for both.
    io(Op::write, 3, 1, true);
    REQUIRE(log.kept.size() == 2);
    end(1);
    REQUIRE(log.kept.size() == 1);  // No second super beside the first.
    end(0);
    CHECK(entries() == "U1+1 U2+1");
    end(0);
    CHECK(entries() == "U1+1 U2+1 U3+1");
    CHECK(log.kept.empty());
}

TEST_CASE_FIXTURE(Disk, "a full log stops, the data go on ([LW-10])") {
    Probe& tiny = world.probe("t", 6);
    start("0 4000 log-writes d t");
    io(Op::write, 1, 2, true);  // Sectors 1 to 3.
    CHECK(status() == "1 3");
    io(Op::write, 5, 1, true);  // Would leave no free sector.
    CHECK(status() == "1 5 logging_disabled");
    CHECK(io(Op::write, 6, 1, true).status() == Status::ok);
    CHECK(data.seen.size() == 3);
    CHECK(send({"mark", "a"}).empty());
    CHECK(retire());
    CHECK(summary(logged(content(tiny))) == "U1+2");
    const std::string state = device->lane(0).table()->rows()[0].target->state_text();
    CHECK(state == "1 entries, logging stopped: the log is full");
}

TEST_CASE_FIXTURE(Disk, "a log device that fails stops the log, the data go on ([LW-10])") {
    start();
    io(Op::write, 1, 1, true);
    log.decide = [](const Bio& bio) { return bio.iter.sector == 0 ? Answer::good : Answer::fail; };
    CHECK(io(Op::write, 2, 1, true).status() == Status::ok);
    CHECK(status() == "2 4 logging_disabled");
    log.decide = nullptr;
    CHECK(io(Op::write, 3, 1, true).status() == Status::ok);
    CHECK(retire());
    CHECK(entries() == "U1+1");  // The super never counted what is not there.
}

TEST_CASE_FIXTURE(Disk, "a super that fails stops the log as well ([LW-10])") {
    start();
    log.decide = [](const Bio& bio) { return bio.iter.sector == 0 ? Answer::fail : Answer::good; };
    io(Op::write, 1, 1, true);
    CHECK(status() == "1 2 logging_disabled");
    CHECK(retire());
}

TEST_CASE_FIXTURE(Disk, "discards are offered even if the device has none ([LW-12])") {
    data.shape().discard = false;
    start();
    CHECK(device->lane(0).limits().discard);
    CHECK(io(Op::discard, 8, 8).status() == Status::ok);
    CHECK(data.seen.empty());
    flush();
    send({"mark", "a"});
    CHECK(entries() == "D8+8 F Ma");
}

TEST_CASE_FIXTURE(Disk, "a log device that is suspended delays the log, and loses nothing") {
    MappedDevice& below = world.device("logdev", "0 8000 linear l 0");
    start("0 4000 log-writes d logdev");
    CHECK(world.suspend(below));
    CHECK(io(Op::write, 1, 1, true).answers == 1);
    send({"mark", "a"});
    CHECK_FALSE(retire());
    CHECK(log.seen.empty());
    world.resume(below);
    CHECK(entries() == "U1+1 Ma Mdm-log-writes-end");
}

TEST_CASE_FIXTURE(Disk, "only the device of the data gives limits, not the log (6.4)") {
    DeviceOptions options;
    options.block_bytes = 4096;
    world.device("big", "0 4000 linear d 0", options);
    CHECK(error_of("0 4000 log-writes d big") == "misaligned");
    log.shape().io_min_bytes = 8192;
    log.shape().io_opt_bytes = 65536;
    log.shape().discard = false;
    start();
    CHECK(device->lane(0).limits().io_min_bytes == 512);
    CHECK(device->lane(0).limits().io_opt_bytes == 0);
    CHECK(device->lane(0).limits().discard);
}

TEST_CASE_FIXTURE(Disk, "its words (6.5, 6.7)") {
    CHECK(error_of("0 8 log-writes d") == "argument-count");
    CHECK(error_of("0 8 log-writes x l") == "unknown-device");
    CHECK(error_of("0 8 log-writes d x") == "unknown-device");
    CHECK(error_of("0 4001 log-writes d l") == "past-end");
    CHECK(error_of("0 4000 log-writes d l extra").empty());
    start();
    CHECK(device->lane(0).table()->table_text() == "0 4000 log-writes d l\n");
}

TEST_CASE("lanes share one log, and the last one to close ends it ([LW-4], [LW-9])") {
    std::vector<std::unique_ptr<Request>> started;
    World world(3);
    world.probe("d", 1000);
    Probe& log = world.probe("l", 1000);
    MappedDevice& device = world.device("m", "0 1000 log-writes d l");
    const auto io = [&](unsigned lane, Op op, std::uint64_t sector) {
        started.push_back(world.make(op, sector, op == Op::flush ? 0 : 1));
        world.submit(device, *started.back(), lane);
        world.run();
    };
    io(0, Op::write, 1);
    io(1, Op::write, 2);
    io(2, Op::flush, 0);
    io(1, Op::write, 3);
    log.decide = [](const Bio&) { return Answer::keep; };
    bool gone = false;
    device.retire([&] { gone = true; });
    world.run();
    CHECK_FALSE(gone);
    log.decide = nullptr;
    log.finish_kept();
    world.run();
    CHECK(gone);
    CHECK(summary(logged(content(log))) == "W1+1 W2+1 F W3+1 Mdm-log-writes-end");
}

TEST_CASE("a log replayed onto a blank is the device, at each mark ([LW-2], [LW-4])") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        std::vector<std::unique_ptr<Request>> started;
        World world(3);
        Random random(seed);
        Probe& data = world.probe("d", 64);
        Probe& log = world.probe("l", 20'000);
        MappedDevice& device = world.device("m", "0 64 log-writes d l");
        const auto maybe = [&](const Bio&) {
            return random.below(2) == 0 ? Answer::keep : Answer::good;
        };
        const auto settle = [&] {
            while (!data.kept.empty() || !log.kept.empty()) {
                data.finish_kept();
                log.finish_kept();
                world.run();
            }
        };
        std::map<std::string, std::vector<std::byte>> images;
        data.decide = log.decide = maybe;
        for (int i = 0; i < 200; ++i) {
            const std::uint64_t kind = random.below(10);
            const Op op = kind < 7 ? Op::write : kind < 8 ? Op::discard : Op::flush;
            // A FUA write overtakes what is unflushed, so it keeps to a place of its own [LW-5].
            const bool fua = kind == 0;
            const std::uint64_t sectors = op == Op::flush ? 0 : 1 + random.below(4);
            const std::uint64_t sector = op == Op::flush ? 0 : random.below(28) + (fua ? 32 : 0);
            started.push_back(world.make(op, sector, sectors, std::uint8_t(random.below(256))));
            started.back()->bio.fua = fua;
            // Writes that overlap have no order of their own.
            if (op != Op::flush) settle();
            world.submit(device, *started.back(), unsigned(random.below(3)));
            world.run();
            if (random.below(10) != 0) continue;
            settle();
            auto flush = world.io(device, Op::flush, 0, 0);
            settle();
            const std::string name = std::to_string(i);
            images[name] = content(data);
            device.message(0, {"mark", name}, [](const MessageAnswer&) {});
            started.push_back(std::move(flush));
        }
        settle();
        images["dm-log-writes-end"] = content(data);
        data.decide = log.decide = nullptr;
        device.retire([] {});
        world.run();
        std::vector<std::byte> blank(64 * 512);
        for (const Logged& each : logged(content(log))) {
            const auto at = static_cast<std::ptrdiff_t>(each.header.block * 512);
            if ((each.header.flags & log_format::discard) != 0) {
                std::fill_n(blank.begin() + at, each.header.blocks * 512, std::byte{0});
            }
            std::copy(each.data.begin(), each.data.end(), blank.begin() + at);
            if (each.text.empty()) continue;
            REQUIRE(images.contains(each.text));
            CHECK(images.at(each.text) == blank);
            images.erase(each.text);
        }
        CHECK(images.empty());
    }
}
