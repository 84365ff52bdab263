#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "dmcore/agenda.h"
#include "dmcore/bio.h"
#include "dmcore/random.h"

using namespace dmcore;

namespace {

constexpr std::uint64_t start = 1000;  // S of the vectors.

/// The segments of dm-semantics 9.4, 96 sectors, and an iterator that stands before the last 32.
struct Vectors {
    std::vector<std::byte> memory = std::vector<std::byte>(49152);
    std::vector<Segment> segments;
    BioIter iter{start, 49152, 0, 0};

    Vectors() {
        std::size_t at = 0;
        for (const std::size_t bytes : {4096, 8192, 4096, 16384, 16384}) {
            segments.push_back({memory.data() + at, bytes});
            at += bytes;
        }
        advance(iter, segments.data(), true, 64 * sector_bytes);
    }
};

void check(const BioIter& iter, std::uint32_t segment, std::size_t done, std::uint64_t bytes,
           std::uint64_t sector) {
    CHECK(iter.segment == segment);
    CHECK(iter.done == done);
    CHECK(iter.bytes == bytes);
    CHECK(iter.sector == sector);
}

}  // namespace

TEST_CASE_FIXTURE(Vectors, "rewind finds an earlier front again (V36, V37, V38, [W-3], [W-5])") {
    check(iter, 4, 0, 16384, start + 64);
    BioIter whole = iter;
    rewind(whole, segments.data(), true, 96 * sector_bytes - iter.bytes);
    check(whole, 0, 0, 49152, start);
    BioIter middle = iter;
    rewind(middle, segments.data(), true, 56 * sector_bytes - iter.bytes);
    check(middle, 3, 4096, 28672, start + 40);
    BioIter exact = iter;  // Lands on a segment's first byte, not behind another's last.
    rewind(exact, segments.data(), true, 72 * sector_bytes - iter.bytes);
    check(exact, 2, 0, 36864, start + 24);
}

TEST_CASE_FIXTURE(Vectors, "rewind of a discard walks no segments (V40, [W-4])") {
    BioIter discard{start + 64, 16384, 0, 0};
    rewind(discard, nullptr, false, 96 * sector_bytes - discard.bytes);
    check(discard, 0, 0, 49152, start);
}

TEST_CASE_FIXTURE(
    Vectors, "going back to the very start stays there; further is a bug of ours (V39, [W-6])") {
    rewind(iter, segments.data(), true, 32768);  // One byte more trips an assert.
    check(iter, 0, 0, 49152, start);
}

TEST_CASE("rewind undoes advance, whatever the sizes of the segments ([D-1], [W-7])") {
    // The oracle is the absolute place of a byte: [D-1]'s immutable descriptor.
    Random random(7);
    for (int round = 0; round < 3000; ++round) {
        std::vector<std::size_t> sizes(1 + random.below(12));
        for (std::size_t& size : sizes) size = random.below(4) == 0 ? 0 : 1 + random.below(3000);
        const std::size_t sum = std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
        sizes.push_back(sector_bytes - sum % sector_bytes);
        const std::uint64_t bytes = sum + sizes.back();
        std::vector<std::byte> memory(bytes);
        std::vector<Segment> segments;
        std::size_t at = 0;
        for (const std::size_t size : sizes) {
            segments.push_back({memory.data() + at, size});
            at += size;
        }
        const std::uint64_t sectors = bytes / sector_bytes;
        const std::uint64_t to = random.below(sectors);
        const std::uint64_t from = to + random.below(sectors - to + 1);
        BioIter iter{50, bytes, 0, 0};
        advance(iter, segments.data(), true, from * sector_bytes);
        rewind(iter, segments.data(), true, (from - to) * sector_bytes);
        REQUIRE(iter.sector == 50 + to);
        REQUIRE(iter.end() == 50 + sectors);
        const std::byte* first = nullptr;
        std::uint64_t seen = 0;
        for_each_piece(iter, segments.data(), [&](std::byte* data, std::size_t count) {
            if (first == nullptr) first = data;
            REQUIRE(data == first + seen);
            seen += count;
        });
        REQUIRE(first == memory.data() + to * sector_bytes);
        REQUIRE(seen == bytes - to * sector_bytes);
    }
}

namespace {

struct Parts {
    Agenda agenda;
    Bio bio;
    bool done = false;

    explicit Parts(std::uint32_t count) {
        bio.remaining = count;
        bio.agenda = &agenda;
        bio.owner = &done;
        bio.done = [](Bio& ended) noexcept { *static_cast<bool*>(ended.owner) = true; };
    }
};

constexpr Failure error{.status = Status::io_error};
constexpr Failure space{.status = Status::no_space};
constexpr Failure requeue{.status = Status::requeue};
constexpr Failure lost{.status = Status::timed_out, .sync_lost = true};

}  // namespace

TEST_CASE("a bio ends after its last part, from the agenda ([R-2])") {
    Parts parts(2);
    parts.bio.end();
    parts.agenda.run_all();
    CHECK_FALSE(parts.done);
    parts.bio.end();
    CHECK_FALSE(parts.done);
    parts.agenda.run_all();
    CHECK(parts.done);
}

TEST_CASE("of several failed parts the lowest is told, and success hides none ([D-6], [L-36])") {
    Parts parts(4);
    parts.bio.fail(error, 30);
    parts.bio.fail(space, 10);
    parts.bio.fail(error, 20);
    parts.bio.end();
    CHECK(parts.bio.failure.status == Status::no_space);
    CHECK(parts.bio.failed_at == 10);
}

TEST_CASE("a requeued part makes the whole bio requeued, unless a flush was lost ([R-12], [O-3])") {
    for (const bool requeue_first : {true, false}) {
        CAPTURE(requeue_first);
        Parts parts(3);
        parts.bio.fail(requeue_first ? requeue : error, 20);
        parts.bio.fail(requeue_first ? error : requeue, 10);
        CHECK(parts.bio.failure.status == Status::requeue);
        parts.bio.fail(lost, 30);
        CHECK(parts.bio.failure.status == Status::timed_out);
        Parts other(2);
        other.bio.fail(requeue_first ? requeue : lost, 20);
        other.bio.fail(requeue_first ? lost : requeue, 10);
        CHECK(other.bio.failure.status == Status::timed_out);
        CHECK(other.bio.failure.sync_lost);
    }
}
