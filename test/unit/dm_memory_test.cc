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
