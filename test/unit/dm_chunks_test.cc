// What the two stages are for: of a request over many chunks only the parts that failed are issued
// again, and every byte lands where it belongs.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "stack.h"

using namespace stack;

namespace {

/// 64 chunks of 2 sectors, dealt out over 3 probes. A random subset of parts fails the first time.
class Chunks {
  public:
    static constexpr std::uint64_t chunk = 2;
    static constexpr std::uint64_t size = 3 * 64 * chunk;

    Chunks() {
        for (const char name : {'a', 'b', 'c'}) {
            world_.probe(std::string(1, name)).decide = [this, name](const Bio& bio) {
                const std::pair place(name, bio.iter.sector);
                const bool fail = ++issued_[place] == 1 && failing_.contains(place);
                return fail ? failure_ : Answer::good;
            };
        }
    }

    /// Failed parts are run again by the retry policy, or by resume after a noflush suspend.
    void round(bool by_suspend) {
        failure_ = by_suspend ? Answer::keep : Answer::fail;
        issued_.clear();
        const std::uint64_t start = random_.below(size - 64 * chunk);
        const std::uint64_t sectors = 64 * chunk - random_.below(2 * chunk);
        choose_failing(start, start + sectors);
        const auto request = make(start, sectors);
        world_.submit(device_, *request);
        world_.run();
        if (by_suspend && !failing_.empty()) {
            REQUIRE(request->answers == 0);
            requeue_all();
        }
        REQUIRE(request->answers == 1);
        REQUIRE(request->status() == Status::ok);
        for (const auto& [place, count] : issued_) {
            REQUIRE(count == (failing_.contains(place) ? 2 : 1));
        }
        REQUIRE(std::equal(request->data.begin(), request->data.end(), model_at(start)));
        REQUIRE(world_.idle());
    }

  private:
    MappedDevice& make_device() {
        for (const char* name : {"a", "b", "c"}) world_.probe(name, size);
        return world_.device("m", "0 384 striped 3 2 a 0 b 0 c 0", with_retry());
    }

    void choose_failing(std::uint64_t start, std::uint64_t end) {
        failing_.clear();
        const std::uint64_t rate = random_.below(5);  // From none to all.
        for (std::uint64_t at = start; at < end; at += chunk - at % chunk) {
            if (random_.below(4) >= rate) continue;
            const std::uint64_t number = at / chunk;
            failing_.emplace(static_cast<char>('a' + number % 3), number / 3 * chunk + at % chunk);
        }
    }

    /// A read or a write of random bytes, in several segments of an odd size.
    std::unique_ptr<Request> make(std::uint64_t start, std::uint64_t sectors) {
        const Op op = random_.below(2) == 0 ? Op::read : Op::write;
        auto request = world_.make(op, start, sectors, 0, 101 + 2 * random_.below(1500));
        if (op == Op::write) {
            for (std::byte& byte : request->data) byte = std::byte(random_.next());
            std::copy(request->data.begin(), request->data.end(), model_at(start));
        }
        return request;
    }

    /// Gives back what the probes kept, in random order, during a suspend.
    void requeue_all() {
        world_.suspend(device_);
        for (const char* name : {"a", "b", "c"}) {
            auto& kept = world_.probe(name).kept;
            while (!kept.empty()) {
                std::swap(kept[random_.below(kept.size())], kept.back());
                Bio& bio = *kept.back();
                kept.pop_back();
                bio.fail({.status = Status::requeue}, 0);
            }
        }
        world_.run();
        world_.resume(device_);
    }

    std::vector<std::byte>::iterator model_at(std::uint64_t sector) {
        return model_.begin() + static_cast<std::ptrdiff_t>(sector * sector_bytes);
    }

    World world_;
    Random random_{11};
    std::map<std::pair<char, std::uint64_t>, int> issued_;
    std::set<std::pair<char, std::uint64_t>> failing_;
    Answer failure_ = Answer::fail;
    std::vector<std::byte> model_ = std::vector<std::byte>(size * sector_bytes);
    MappedDevice& device_ = make_device();
};

}  // namespace

TEST_CASE_FIXTURE(Chunks, "only failed parts are run again, over 64 chunks ([R-4], [R-5], [R-6])") {
    for (int i = 0; i < 3000; ++i) {
        CAPTURE(i);
        round(i % 2 == 1);
    }
}
