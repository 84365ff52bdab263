// What dmcore costs on its own: nanoseconds for each bio, over devices that end at once.
//   micro --benchmark_filter=... (Google Benchmark's options)
#include <benchmark/benchmark.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dmcore/mapped_device.h"

namespace {

using namespace dmcore;

class StoppedClock final : public Clock {
  public:
    Time now() const noexcept override { return std::chrono::seconds(1); }
    void arm(Timer& timer, Time) noexcept override { timer.armed = true; }
    void disarm(Timer& timer) noexcept override { timer.armed = false; }
};

/// One shard and the control thread, both here.
class Inline final : public Executor {
  public:
    unsigned shards() const noexcept override { return 1; }
    void post(unsigned, std::function<void()> what) override { posts_.push_back(std::move(what)); }
    void post_control(std::function<void()> what) override { posts_.push_back(std::move(what)); }

    void run(Agenda& agenda) {
        for (; !posts_.empty() || !agenda.empty(); agenda.run_all()) {
            if (posts_.empty()) continue;
            const std::function<void()> what = std::move(posts_.front());
            posts_.pop_front();
            what();
        }
    }

  private:
    std::deque<std::function<void()>> posts_;
};

/// Ends every bio at once; each `fail_every`th fails once, and is worth another attempt.
class Null final : public BlockDevice {
  public:
    Null() {
        limits_.size_sectors = std::uint64_t{1} << 40;
        limits_.write_cache = true;
        limits_.discard = true;
    }
    void submit(Bio& bio) noexcept override {
        if (fail_every != 0 && ++count_ % fail_every == 0) {
            bio.fail({.status = Status::again}, bio.iter.sector);
        } else {
            bio.end();
        }
    }
    const Limits& limits() const noexcept override { return limits_; }
    const std::string& name() const noexcept override { return name_; }

    std::uint64_t fail_every = 0;

  private:
    Limits limits_;
    const std::string name_ = "null";
    std::uint64_t count_ = 0;
};

/// Devices over one Null, and one request that is submitted again and again.
class World {
  public:
    explicit World(std::uint64_t request_bytes = 4096)
        : data_(request_bytes), segment_{data_.data(), data_.size()} {}
    ~World() { devices_.clear(); }

    /// `rows` on what is called `below`.
    MappedDevice& add(const std::string& name, std::vector<RowSpec> rows) {
        const ShardSeams seams{&agenda_, &clock_};
        devices_.push_back(
            std::make_unique<MappedDevice>(name, executor_, std::span(&seams, 1), DeviceOptions{}));
        TableSet set;
        set.shared = std::make_shared<TableShared>();
        set.shared->rows = std::move(rows);
        set.shared->device_name = name;
        set.lanes.push_back(
            std::make_unique<Table>(set.shared, 0, agenda_, clock_,
                                    [this](const std::string& below) { return find(below); }));
        devices_.back()->load(std::move(set));
        devices_.back()->resume([] {});
        executor_.run(agenda_);
        return *devices_.back();
    }

    /// Did it end well?
    bool io(BlockDevice& device, std::uint64_t sector) {
        Bio bio;
        bio.iter.sector = sector;
        bio.iter.bytes = segment_.bytes;
        bio.segments = &segment_;
        bio.agenda = &agenda_;
        bio.origin = &origin_;
        bio.done = [](Bio&) noexcept {};
        device.submit(bio);
        agenda_.run_all();
        benchmark::DoNotOptimize(bio);
        return bio.failure.status == Status::ok;
    }

    Null null;

  private:
    BlockDevice* find(const std::string& name) {
        for (const auto& each : devices_) {
            if (each->name() == name) return &each->lane(0);
        }
        return &null;
    }

    StoppedClock clock_;
    Inline executor_;
    Agenda agenda_;
    Origin origin_;
    std::vector<std::byte> data_;
    Segment segment_;
    std::vector<std::unique_ptr<MappedDevice>> devices_;
};

RowSpec linear(std::uint64_t start, std::uint64_t sectors, const std::string& below) {
    return {start, sectors, "linear", {below, std::to_string(start)}};
}

/// What the harness itself costs.
void no_device(benchmark::State& state) {
    World world;
    for (auto _ : state) world.io(world.null, 8);
}
BENCHMARK(no_device);

void depth(benchmark::State& state) {
    World world;
    std::string below = "null";
    MappedDevice* top = nullptr;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        const std::string name = "d" + std::to_string(i);
        top = &world.add(name, {linear(0, 1 << 20, below)});
        below = name;
    }
    for (auto _ : state) world.io(top->lane(0), 8);
}
BENCHMARK(depth)->Arg(1)->Arg(2)->Arg(3)->Arg(4)->Arg(8);

void rows(benchmark::State& state) {
    World world;
    std::vector<RowSpec> all;
    const auto count = static_cast<std::uint64_t>(state.range(0));
    for (std::uint64_t i = 0; i < count; ++i) all.push_back(linear(i * 8, 8, "null"));
    Lane& lane = world.add("d", std::move(all)).lane(0);
    std::uint64_t row = 1;
    for (auto _ : state) {
        row = row * 6364136223846793005 + 1442695040888963407;
        world.io(lane, (row >> 33) % count * 8);
    }
}
BENCHMARK(rows)->Arg(1)->Arg(10)->Arg(1000)->Arg(100'000);

/// A request of 4 MiB over chunks of 4 KiB; the time is that of one part.
void parts(benchmark::State& state) {
    constexpr std::uint64_t request_bytes = 4 << 20;
    World world(request_bytes);
    Lane& lane = world
                     .add("d", {{0,
                                 1 << 20,
                                 "striped",
                                 {"4", "8", "null", "0", "null", "1048576", "null", "2097152",
                                  "null", "3145728"}}})
                     .lane(0);
    for (auto _ : state) world.io(lane, 0);
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(request_bytes / 4096));
}
BENCHMARK(parts);

void retried_1_in(benchmark::State& state) {
    World world;
    world.null.fail_every = static_cast<std::uint64_t>(state.range(0));
    Lane& lane = world.add("d", {linear(0, 1 << 20, "null")}).lane(0);
    bool good = true;
    for (auto _ : state) good = world.io(lane, 8) && good;
    if (!good) state.SkipWithError("a bio has failed");
}
BENCHMARK(retried_1_in)->Arg(0)->Arg(1000);

}  // namespace

BENCHMARK_MAIN();
