// Why: three bugs that device-mapper really had (dm-semantics 3.6 and 1.8), at every place where a
// request can be split: the wrong part run again, success that hides an error, and a requeue
// against an error inside one part.
#include <doctest/doctest.h>

#include "unit/stack.h"

using namespace stack;

namespace {

constexpr const char* s3x16 = "0 144 striped 3 16 a 0 b 0 c 0\n";

/// A request over the stripes from any first to any last sector, and its parts in order.
struct Stripes : World {
    Stripes() : legs{&probe("a", 48), &probe("b", 48), &probe("c", 48)} {
        map = &device("m", s3x16);
        for (Probe* leg : legs) {
            leg->decide = [](const Bio&) { return Answer::keep; };
        }
    }
    static std::size_t part_count(std::uint64_t start, std::uint64_t sectors) {
        return (start + sectors - 1) / 16 - start / 16 + 1;
    }
    Bio& part(std::uint64_t start, std::size_t index) {
        const std::uint64_t chunk = start / 16 + index;
        Probe& leg = *legs[chunk % 3];
        const std::uint64_t low = chunk / 3 * 16;
        for (auto each = leg.kept.begin(); each != leg.kept.end(); ++each) {
            Bio* bio = *each;
            if (bio->iter.sector < low || bio->iter.sector >= low + 16) continue;
            leg.kept.erase(each);
            return *bio;
        }
        FAIL("no such part");
        return *leg.kept.front();
    }
    Probe& leg_of(std::uint64_t start, std::size_t index) {
        return *legs[(start / 16 + index) % 3];
    }
    void finish_all() {
        for (Probe* leg : legs) leg->finish_kept();
        run();
    }
    /// What lies on the stripes, as the device shows it.
    void store_pattern() {
        for (std::uint64_t sector = 0; sector < 144; ++sector) {
            std::vector<std::byte> data(512);
            fill(data, sector);
            write_through(sector, data);
        }
    }
    void write_through(std::uint64_t sector, std::vector<std::byte>& data) {
        const std::uint64_t chunk = sector / 16;
        const Segment segment{data.data(), data.size()};
        Bio bio;
        bio.op = Op::write;
        bio.iter = {chunk / 3 * 16 + sector % 16, 512, 0, 0};
        bio.segments = &segment;
        legs[chunk % 3]->store->run(bio);
    }

    Probe* legs[3];
    MappedDevice* map;
};

struct Shape {
    std::uint64_t start, sectors;
};
/// Some shapes, and for every place of the first cut, from 1 to 16 sectors in, one of three parts.
std::vector<Shape> all_shapes() {
    std::vector<Shape> all = {{0, 144}, {10, 50}, {15, 2}, {1, 142}, {16, 16}};
    for (std::uint64_t start = 32; start < 48; ++start) all.push_back({start, 33});
    return all;
}
const std::vector<Shape> shapes = all_shapes();
constexpr std::size_t segment_sizes[] = {SIZE_MAX, 512, 1536, 8192, 10 * 512};

}  // namespace

TEST_CASE("[R-4] [R-5] [R-6] the part that was requeued is run again, and no other") {
    for (const Shape& shape : shapes) {
        for (const std::size_t segment_bytes : segment_sizes) {
            for (const Op op : {Op::read, Op::write}) {
                const std::size_t parts = Stripes::part_count(shape.start, shape.sectors);
                for (std::size_t bad = 0; bad < parts; ++bad) {
                    Stripes world;
                    world.store_pattern();
                    auto request = world.make(op, shape.start, shape.sectors, 0, segment_bytes);
                    if (op == Op::write) fill(request->data, shape.start);
                    world.submit(*world.map, *request);
                    world.map->suspend(true, [] {});
                    world.run();
                    Bio& clone = world.part(shape.start, bad);
                    const std::uint64_t sector = clone.iter.sector;
                    const std::uint64_t sectors = clone.iter.sectors();
                    clone.fail({.status = Status::requeue}, sector);
                    world.finish_all();
                    REQUIRE(world.map->suspended());
                    for (Probe* leg : world.legs) {
                        leg->seen.clear();
                        leg->decide = nullptr;
                    }
                    world.resume(*world.map);
                    CHECK(request->answers == 1);
                    CHECK(request->status() == Status::ok);
                    for (Probe* leg : world.legs) {
                        const bool here = leg == &world.leg_of(shape.start, bad);
                        CHECK(leg->ranges() == (here ? Ranges{{sector, sectors}} : Ranges{}));
                    }
                    if (op == Op::read) CHECK(is_filled(request->data, shape.start));
                }
            }
        }
    }
}

TEST_CASE("[R-3] [L-36] success does not hide an error, whichever part fails, whenever it ends") {
    for (const Shape& shape : shapes) {
        const std::size_t parts = Stripes::part_count(shape.start, shape.sectors);
        for (std::size_t bad = 0; bad < parts; ++bad) {
            for (const bool error_first : {true, false}) {
                Stripes world;
                auto request = world.make(Op::write, shape.start, shape.sectors);
                world.submit(*world.map, *request);
                Bio& clone = world.part(shape.start, bad);
                if (error_first) clone.fail({.status = Status::no_space}, clone.iter.sector);
                world.run();
                world.finish_all();
                if (!error_first) clone.fail({.status = Status::no_space}, clone.iter.sector);
                world.run();
                CHECK(request->answers == 1);
                CHECK(request->status() == Status::no_space);
            }
        }
    }
}

namespace {

/// One unit of a discard over three rows, each of three legs: which of its clones is requeued,
/// which fails, and in which order.
struct Clash {
    std::size_t unit, requeued, failed;
    bool error_first, noflush;
};

void check_clash(const Clash& clash) {
    Stripes world;
    MappedDevice& map = world.device("rows",
                                     "0 48 striped 3 16 a 0 b 0 c 0\n"
                                     "48 48 striped 3 8 a 16 b 16 c 16\n"
                                     "96 48 striped 3 4 a 32 b 32 c 32\n");
    auto discard = world.make(Op::discard, 0, 144);
    world.submit(map, *discard);
    if (clash.noflush) map.suspend(true, [] {});
    world.run();
    const auto end = [&](std::size_t leg, Status status) {
        auto& kept = world.legs[leg]->kept;  // A clone of each unit, in order.
        Bio& clone = *kept[clash.unit];
        kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(clash.unit));
        clone.fail({.status = status}, 0);
        world.run();
    };
    if (clash.error_first) end(clash.failed, Status::no_space);
    end(clash.requeued, Status::requeue);
    if (!clash.error_first) end(clash.failed, Status::no_space);
    world.finish_all();
    CHECK(discard->answers == (clash.noflush ? 0 : 1));
    for (Probe* leg : world.legs) {
        leg->decide = nullptr;
        leg->seen.clear();
    }
    world.resume(map);
    CHECK(discard->answers == 1);
    CHECK(discard->status() == (clash.noflush ? Status::ok : Status::no_space));
    // The whole unit, on all its legs, and nothing of the others.
    const Ranges again = {{clash.unit * 16, 16}};
    for (Probe* leg : world.legs) CHECK(leg->ranges() == (clash.noflush ? again : Ranges{}));
}

}  // namespace

TEST_CASE("[L-35] [R-12] requeue against error inside one part, in each place and order (V48)") {
    for (std::size_t unit = 0; unit < 3; ++unit) {
        for (std::size_t requeued = 0; requeued < 3; ++requeued) {
            for (std::size_t failed = 0; failed < 3; ++failed) {
                if (requeued == failed) continue;
                for (const bool error_first : {true, false}) {
                    for (const bool noflush : {true, false}) {
                        CAPTURE(unit);
                        CAPTURE(requeued);
                        CAPTURE(failed);
                        CAPTURE(error_first);
                        CAPTURE(noflush);
                        check_clash({unit, requeued, failed, error_first, noflush});
                    }
                }
            }
        }
    }
}
