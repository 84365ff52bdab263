#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "dmcore/agenda.h"
#include "dmcore/random.h"
#include "dmcore/stores/memory.h"

using namespace dmcore;

namespace {

constexpr std::uint64_t block_sectors = MemoryStore::block_bytes / sector_bytes;

/// Runs one I/O over one segment.
bool run(MemoryStore& store, Op op, std::uint64_t sector, std::vector<std::byte>& data) {
    const Segment segment{data.data(), data.size()};
    Bio bio;
    bio.op = op;
    bio.iter = {sector, data.size(), 0, 0};
    bio.segments = &segment;
    return store.run(bio);
}

}  // namespace

TEST_CASE("a memory store reads what was written, zeroes elsewhere, over random ranges") {
    constexpr std::uint64_t size = 3 * block_sectors + 5;  // The last block is not a whole one.
    MemoryStore store("m", size);
    std::vector<std::byte> model(size * sector_bytes);
    Random random(3);
    for (int round = 0; round < 2000; ++round) {
        const std::uint64_t sector = random.below(size);
        const std::uint64_t sectors = 1 + random.below(size - sector);
        std::vector<std::byte> data(sectors * sector_bytes, std::byte(random.next()));
        const auto at = model.begin() + static_cast<std::ptrdiff_t>(sector * sector_bytes);
        switch (random.below(4)) {
            case 0:
                REQUIRE(run(store, Op::read, sector, data));
                REQUIRE(std::equal(data.begin(), data.end(), at));
                break;
            case 1:
                REQUIRE(run(store, Op::write, sector, data));
                std::copy(data.begin(), data.end(), at);
                break;
            default:
                REQUIRE(run(store, round % 2 == 0 ? Op::discard : Op::write_zeroes, sector, data));
                std::fill_n(at, data.size(), std::byte{0});
        }
    }
}

TEST_CASE("a sector read is one write's, never a mix, from any thread ([O-8])") {
    MemoryStore store("m", block_sectors);
    std::atomic<bool> stop = false;
    std::array<std::thread, 2> writers;
    for (unsigned i = 0; i < writers.size(); ++i) {
        writers[i] = std::thread([&, i] {
            std::vector<std::byte> data(8 * sector_bytes, std::byte(i + 1));
            while (!stop) {
                run(store, Op::write, 3, data);
                if (i == 0) {
                    std::vector<std::byte> all(MemoryStore::block_bytes);
                    run(store, Op::discard, 0, all);
                }
            }
        });
    }
    bool mixed = false;
    std::vector<std::byte> data(8 * sector_bytes);
    for (int round = 0; round < 3000; ++round) {
        run(store, Op::read, 3, data);
        mixed |= data != std::vector<std::byte>(data.size(), data[0]);
    }
    stop = true;
    for (std::thread& writer : writers) writer.join();
    CHECK_FALSE(mixed);
}

TEST_CASE("memory that is never written costs nothing, however large the store") {
    MemoryStore store("m", 1ULL << 31);  // 1 TiB.
    std::vector<std::byte> data(sector_bytes, std::byte{1});
    CHECK(run(store, Op::write, (1ULL << 31) - 1, data));
    CHECK(run(store, Op::read, 1ULL << 30, data));
    CHECK(data[0] == std::byte{0});
    CHECK(store.limits().size_sectors == 1ULL << 31);
}

TEST_CASE("a memory device ends every bio through its agenda, not inside submit") {
    const auto store = std::make_shared<MemoryStore>("m", 100);
    MemoryDevice device(store);
    Agenda agenda;
    bool done = false;
    Bio bio;
    bio.op = Op::flush;
    bio.agenda = &agenda;
    bio.owner = &done;
    bio.done = [](Bio& ended) noexcept { *static_cast<bool*>(ended.owner) = true; };
    device.submit(bio);
    CHECK_FALSE(done);
    agenda.run_all();
    CHECK(done);
    CHECK(bio.failure.status == Status::ok);
}

namespace {

/// A read of 4 KiB that takes loans.
struct Borrower {
    Pool<Loan> pool{8};
    Loans loans;
    std::vector<std::byte> own = std::vector<std::byte>(4096, std::byte{0xee});

    Borrower() { loans.set_pool(pool); }
    void read(MemoryStore& store, std::uint64_t sector) {
        const Segment segment{own.data(), own.size()};
        Bio bio;
        bio.iter = {sector, own.size(), 0, 0};
        bio.segments = &segment;
        bio.loans = &loans;
        REQUIRE(store.run(bio));
    }
    bool lent() const { return pool.in_use() > 0; }
    std::vector<std::byte> seen() const {
        std::vector<std::byte> all;
        loans.for_each_piece(const_cast<std::byte*>(own.data()), own.size(),
                             [&](std::byte* data, std::size_t bytes) {
                                 all.insert(all.end(), data, data + bytes);
                                 return true;
                             });
        return all;
    }
};

std::vector<std::byte> page(int value) {
    return std::vector<std::byte>(4096, static_cast<std::byte>(value));
}

}  // namespace

TEST_CASE("what a memory store lends stays as it was read, whatever becomes of the store ([O-8])") {
    auto store = std::make_unique<MemoryStore>("m", 4 * block_sectors);
    auto data = page(1);
    REQUIRE(run(*store, Op::write, 8, data));
    Borrower reader;
    reader.read(*store, 8);
    CHECK(reader.lent());
    CHECK(reader.seen() == page(1));

    auto now = page(2);
    SUBCASE("a write") {
        REQUIRE(run(*store, Op::write, 8, now));
    }
    SUBCASE("part of it is cleared") {
        now = page(0);
        REQUIRE(run(*store, Op::write_zeroes, 8, now));
    }
    SUBCASE("all of the block is cleared") {
        std::vector<std::byte> all(MemoryStore::block_bytes);
        REQUIRE(run(*store, Op::discard, 0, all));
        now = page(0);
    }
    auto again = page(9);
    REQUIRE(run(*store, Op::read, 8, again));
    CHECK(again == now);
    store.reset();
    CHECK(reader.seen() == page(1));
}

TEST_CASE("a block that is read and written in turn is copied, not lent, for a while") {
    MemoryStore store("m", block_sectors);
    auto data = page(1);
    REQUIRE(run(store, Op::write, 0, data));
    {
        Borrower reader;
        reader.read(store, 0);
        REQUIRE(run(store, Op::write, 0, data));
    }
    for (int i = 0; i < MemoryStore::copied_reads; ++i) {
        Borrower reader;
        reader.read(store, 0);
        REQUIRE_FALSE(reader.lent());
        REQUIRE(reader.seen() == page(1));
    }
    Borrower reader;
    reader.read(store, 0);
    CHECK(reader.lent());
}

TEST_CASE("what a memory store does not have, or can't lend, is in the reader's own memory") {
    MemoryStore store("m", 2 * block_sectors);
    auto data = page(1);
    REQUIRE(run(store, Op::write, block_sectors, data));
    Borrower never_written;
    never_written.read(store, 0);
    CHECK_FALSE(never_written.lent());
    CHECK(never_written.seen() == page(0));
    Borrower across;
    across.read(store, block_sectors - 4);  // 2 KiB of each block.
    auto expected = page(0);
    std::fill(expected.begin() + 2048, expected.end(), std::byte{1});
    CHECK(across.pool.in_use() == 1);
    CHECK(across.seen() == expected);
    Borrower poor;
    Loan* taken[8];
    for (Loan*& each : taken) each = poor.pool.take();
    poor.read(store, block_sectors);
    CHECK(poor.own == page(1));
    for (Loan* each : taken) poor.pool.give(*each);
}

TEST_CASE("a memory store keeps whole blocks that it is given, and nobody changes them after") {
    MemoryStore store("m", 8 * block_sectors);
    std::byte* const data = SharedBytes::make_run(2);
    REQUIRE(data != nullptr);
    const std::size_t bytes = 2 * SharedBytes::size;
    for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i / 512);
    const Segment segment{data, bytes, true};
    Bio bio;
    bio.op = Op::write;
    bio.segments = &segment;
    const auto write_at = [&](std::uint64_t sector) {
        bio.iter = {sector, bytes, 0, 0};
        REQUIRE(store.run(bio));
    };
    const auto check_at = [&](std::uint64_t sector) {
        std::vector<std::byte> read(bytes);
        REQUIRE(run(store, Op::read, sector, read));
        CHECK(std::equal(read.begin(), read.end(), data));
    };
    write_at(0);
    CHECK_FALSE(SharedBytes::at(data).alone());
    write_at(4 * block_sectors + 8);  // Not where blocks begin: copied.
    check_at(0);
    check_at(4 * block_sectors + 8);

    std::vector<std::byte> over(4096, std::byte{0xff});
    REQUIRE(run(store, Op::write, 8, over));
    CHECK(data[4096] == std::byte{8});  // The writer's is as it was.
    write_at(0);
    std::vector<std::byte> cleared(4096);
    REQUIRE(run(store, Op::write_zeroes, block_sectors, cleared));
    CHECK(data[SharedBytes::size] == std::byte{128});
    write_at(0);
    std::vector<std::byte> copy(data, data + bytes);
    SharedBytes::at(data).drop();  // The writer is done: the store has it alone.
    SharedBytes::at(data + SharedBytes::size).drop();
    std::vector<std::byte> read(bytes);
    REQUIRE(run(store, Op::read, 0, read));
    CHECK(read == copy);
    REQUIRE(run(store, Op::write, 8, over));
    REQUIRE(run(store, Op::read, 0, read));
    std::copy(over.begin(), over.end(), copy.begin() + 4096);
    CHECK(read == copy);
}
