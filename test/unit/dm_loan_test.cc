#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "dmcore/loan.h"

using namespace dmcore;

namespace {

struct Lent {
    Pool<Loan> pool{4};
    std::vector<std::byte> own{100, std::byte{'.'}};
    SharedBytes* shared = SharedBytes::make();
    Loans loans;

    Lent() {
        loans.set_pool(pool);
        for (std::size_t i = 0; i < 100; ++i) {
            shared->data()[i] = static_cast<std::byte>('a' + i / 10);
        }
    }
    ~Lent() {
        loans.give_back();
        CHECK(pool.in_use() == 0);
        CHECK(shared->alone());
        shared->drop();
    }
    bool lend(std::size_t at, std::size_t bytes) {
        return loans.add(own.data() + at, shared->data() + at, bytes, *shared);
    }
    /// The pieces from `at` on, a letter for every five bytes.
    std::string read(std::size_t at, std::size_t bytes, std::size_t pieces = SIZE_MAX) const {
        std::string text;
        auto* place = const_cast<std::byte*>(own.data()) + at;
        loans.for_each_piece(place, bytes, [&](std::byte* data, std::size_t length) {
            for (std::size_t i = 0; i < length; i += 5) text += static_cast<char>(data[i]);
            text += ' ';
            return --pieces > 0;
        });
        return text;
    }
    void give_back(std::size_t at, std::size_t bytes) {
        const Segment segment{own.data(), own.size()};
        loans.give_back({0, bytes, 0, at}, &segment);
    }
};

}  // namespace

TEST_CASE("what was lent is read where it stands for the reader's own memory, in order") {
    Lent lent;
    CHECK(lent.read(0, 100) == ".................... ");
    REQUIRE(lent.lend(40, 20));
    REQUIRE(lent.lend(80, 20));
    REQUIRE(lent.lend(0, 10));
    REQUIRE(lent.lend(60, 10));
    CHECK(lent.read(0, 100) == "aa ...... eeff gg .. iijj ");
    CHECK(lent.read(50, 45) == "ff gg .. iij ");
    CHECK(lent.read(10, 10) == ".. ");
    CHECK(lent.read(100, 0).empty());
    CHECK(lent.read(0, 100, 3) == "aa ...... eeff ");

    SUBCASE("no more than there may be") {
        CHECK_FALSE(lent.lend(20, 10));
    }
    SUBCASE("what is to be read once more is given back, the rest stays") {
        lent.give_back(45, 20);
        CHECK(lent.pool.in_use() == 2);
        CHECK(lent.read(0, 100) == "aa .............. iijj ");
        REQUIRE(lent.lend(50, 20));
        CHECK(lent.read(0, 100) == "aa ........ ffgg .. iijj ");
        lent.give_back(90, 10);
        REQUIRE(lent.lend(90, 10));
        CHECK(lent.read(0, 100) == "aa ........ ffgg .... jj ");
    }
}

TEST_CASE("shared bytes are freed by the last who holds them, and are zeroes when made again") {
    std::vector<SharedBytes*> all;
    for (int i = 0; i < 100; ++i) {  // More than one slab.
        all.push_back(SharedBytes::make());
        std::fill_n(all.back()->data(), SharedBytes::size, static_cast<std::byte>(i + 1));
    }
    for (int i = 0; i < 100; ++i) {
        const std::byte* data = all[static_cast<std::size_t>(i)]->data();
        CHECK(data[0] == static_cast<std::byte>(i + 1));
        CHECK(data[SharedBytes::size - 1] == static_cast<std::byte>(i + 1));
    }
    SharedBytes* const copy = all[7]->copy();
    all[7]->hold();
    CHECK_FALSE(all[7]->alone());
    for (SharedBytes* each : all) each->drop();
    CHECK(all[7]->alone());
    CHECK(all[7]->data()[100] == std::byte{8});
    all[7]->drop();
    CHECK(copy->data()[SharedBytes::size - 1] == std::byte{8});
    copy->drop();
    SharedBytes* const fresh = SharedBytes::make();
    CHECK(std::all_of(fresh->data(), fresh->data() + SharedBytes::size,
                      [](std::byte each) { return each == std::byte{0}; }));
    fresh->drop();
}

TEST_CASE("a run of shared bytes lies together, and each of them is held and freed alone") {
    std::byte* const run = SharedBytes::make_run(SharedBytes::run_max);
    REQUIRE(run != nullptr);
    std::fill_n(run, SharedBytes::run_max * SharedBytes::size, std::byte{7});
    std::byte* const other = SharedBytes::make_run(5);
    REQUIRE(other != nullptr);
    std::fill_n(other, 5 * SharedBytes::size, std::byte{8});
    for (unsigned i = 0; i < SharedBytes::run_max; ++i) {
        std::byte* const data = run + i * SharedBytes::size;
        REQUIRE(SharedBytes::at(data).data() == data);
        REQUIRE(SharedBytes::at(data).alone());
        REQUIRE(data[0] == std::byte{7});
        REQUIRE(data[SharedBytes::size - 1] == std::byte{7});
        if (i != 9) SharedBytes::at(data).drop();
    }
    SharedBytes* const fresh = SharedBytes::make();
    CHECK(fresh->data()[SharedBytes::size - 1] == std::byte{0});
    CHECK(run[9 * SharedBytes::size + 5] == std::byte{7});
    CHECK(other[5 * SharedBytes::size - 1] == std::byte{8});
    fresh->drop();
    SharedBytes::at(run + 9 * SharedBytes::size).drop();
    for (unsigned i = 0; i < 5; ++i) SharedBytes::at(other + i * SharedBytes::size).drop();
}

TEST_CASE("runs are refused rather than made of ever more memory that is free in pieces") {
    std::vector<SharedBytes*> all;
    for (int i = 0; i < 8000; ++i) all.push_back(SharedBytes::make());
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i % 2 != 0) all[i]->drop();  // Half is free, and no two places are together.
    }
    int runs = 0;
    while (std::byte* const run = SharedBytes::make_run(17)) {
        REQUIRE(++runs < 1000);
        all.push_back(&SharedBytes::at(run));
        for (unsigned i = 1; i < 17; ++i)
            all.push_back(&SharedBytes::at(run + i * SharedBytes::size));
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i >= 8000 || i % 2 == 0) all[i]->drop();
    }
    std::byte* const run = SharedBytes::make_run(17);
    CHECK(run != nullptr);
    for (unsigned i = 0; run != nullptr && i < 17; ++i) {
        SharedBytes::at(run + i * SharedBytes::size).drop();
    }
}
