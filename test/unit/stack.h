#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "dmcore/joint_swap.h"
#include "dmcore/random.h"
#include "dmcore/stores/memory.h"

/// A world of one thread for tests of dmcore: shards, a clock that moves when told, devices whose
/// answers a test decides.
namespace stack {

using namespace dmcore;

class TestClock final : public Clock {
  public:
    Time now() const noexcept override { return now_; }
    void arm(Timer& timer, Time due) noexcept override {
        disarm(timer);
        timer.armed = true;
        timer.due = due;
        timers_.emplace(due, &timer);
    }
    void disarm(Timer& timer) noexcept override {
        if (!timer.armed) return;
        timer.armed = false;
        for (auto each = timers_.begin(); each != timers_.end(); ++each) {
            if (each->second == &timer) {
                timers_.erase(each);
                return;
            }
        }
    }
    /// Fires one timer that is due by `until`, and moves the time to it.
    bool fire_next(Time until) {
        if (timers_.empty() || timers_.begin()->first > until) return false;
        Timer* timer = timers_.begin()->second;
        timers_.erase(timers_.begin());
        timer->armed = false;
        now_ = std::max(now_, timer->due);
        timer->fire(timer->owner);
        return true;
    }
    void set(Time now) { now_ = now; }

  private:
    Time now_ = std::chrono::seconds(1000);
    std::multimap<Time, Timer*> timers_;
};

/// A device below the one under test. Answers at once and well, unless `decide` says otherwise.
class Probe final : public BlockDevice {
  public:
    struct Seen {
        Op op;
        std::uint64_t sector;
        std::uint64_t sectors;
        bool fua;
        const std::byte* data;
        friend bool operator==(const Seen& a, const Seen& b) {
            return a.op == b.op && a.sector == b.sector && a.sectors == b.sectors && a.fua == b.fua;
        }
    };
    enum class Answer { good, fail, requeue, keep };

    Probe(std::string name, std::uint64_t sectors)
        : store(std::make_shared<MemoryStore>(std::move(name), sectors)), limits_(store->limits()) {
        limits_.write_cache = true;
    }
    void submit(Bio& bio) noexcept override {
        const std::byte* data = has_data(bio.op) && bio.iter.bytes > 0
                                    ? bio.segments[bio.iter.segment].data + bio.iter.done
                                    : nullptr;
        seen.push_back({bio.op, bio.iter.sector, bio.iter.sectors(), bio.fua, data});
        switch (decide ? decide(bio) : Answer::good) {
            case Answer::good: finish(bio); break;
            case Answer::fail: bio.fail(failure, bio.iter.sector); break;
            case Answer::requeue: bio.fail({.status = Status::requeue}, bio.iter.sector); break;
            case Answer::keep: kept.push_back(&bio); break;
        }
    }
    void finish(Bio& bio) {
        store->run(bio);
        bio.end();
    }
    /// Ends well what `keep` has kept, oldest first.
    void finish_kept() {
        for (; !kept.empty(); kept.pop_front()) finish(*kept.front());
    }
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges() const {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> all;
        for (const Seen& each : seen) all.emplace_back(each.sector, each.sectors);
        return all;
    }
    const Limits& limits() const noexcept override { return limits_; }
    /// To make it another kind of disk, before a table stands on it.
    Limits& shape() noexcept { return limits_; }
    const std::string& name() const noexcept override { return store->name(); }

    std::shared_ptr<MemoryStore> store;
    std::function<Answer(const Bio&)> decide;
    Failure failure{.status = Status::io_error, .where = "test"};
    std::vector<Seen> seen;
    std::deque<Bio*> kept;

  private:
    Limits limits_;
};

using Answer = Probe::Answer;
using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

inline std::vector<RowSpec> rows_of(const std::string& text) {
    std::vector<RowSpec> rows;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        RowSpec row;
        if (!(words >> row.start_sector >> row.sectors >> row.target)) continue;
        for (std::string word; words >> word;) row.words.push_back(word);
        rows.push_back(row);
    }
    return rows;
}

/// Bytes that tell where on a device they belong.
inline std::byte byte_at(std::uint64_t at) {
    return std::byte(at / 512 * 7 + at % 512 * 3);
}
inline void fill(std::vector<std::byte>& data, std::uint64_t sector) {
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = byte_at(sector * 512 + i);
}
inline bool is_filled(const std::vector<std::byte>& data, std::uint64_t sector) {
    for (std::size_t i = 0; i < data.size(); ++i) {
        if (data[i] != byte_at(sector * 512 + i)) return false;
    }
    return true;
}

/// One client I/O: buffer, bio, and what came of it.
struct Request {
    Bio bio;
    std::vector<std::byte> data;
    std::vector<Segment> segments;
    int answers = 0;
    Origin origin;

    Status status() const { return bio.failure.status; }
};

class World : public Executor {
  public:
    explicit World(unsigned shard_count = 1) : shards_(shard_count) {}
    ~World() override {
        run();
        devices_.clear();
    }

    // Executor
    unsigned shards() const noexcept override { return static_cast<unsigned>(shards_.size()); }
    void post(unsigned shard, std::function<void()> what) override {
        shards_[shard].posted.push_back(std::move(what));
    }
    void post_control(std::function<void()> what) override { control_.push_back(std::move(what)); }

    Probe& probe(const std::string& name, std::uint64_t sectors) {
        auto& one = probes_[name];
        one = std::make_unique<Probe>(name, sectors);
        return *one;
    }
    Probe& probe(const std::string& name) { return *probes_.at(name); }

    TableSet build(const std::string& name, const std::string& text) {
        TableSet set;
        set.shared = std::make_shared<TableShared>();
        set.shared->rows = rows_of(text);
        set.shared->device_name = name;
        set.shared->loaded_at = clock.now();
        set.shared->seed = 42;
        for (unsigned i = 0; i < shards(); ++i) {
            set.lanes.push_back(std::make_unique<Table>(
                set.shared, i, shards_[i].agenda, clock,
                [&, i](const std::string& below) { return find(below, i); }));
        }
        for (const Lower& below : set.lanes[0]->lowers()) {
            set.shared->below.push_back(below.device->name());
        }
        return set;
    }

    MappedDevice& device(const std::string& name, const std::string& text,
                         DeviceOptions options = {}) {
        std::vector<ShardSeams> seams;
        for (Shard& shard : shards_) seams.push_back({&shard.agenda, &clock});
        devices_.push_back(std::make_unique<MappedDevice>(name, *this, seams, options));
        MappedDevice& made = *devices_.back();
        made.on_swap(
            [this](MappedDevice::Then then) { restack(mapped(), *this, std::move(then)); });
        if (!text.empty()) {
            made.load(build(name, text));
            made.resume([] {});
            run();
        }
        return made;
    }

    /// It must be quiet, and nothing may stand on it.
    void remove(const std::string& name) {
        std::erase_if(devices_, [&](const auto& each) { return each->name() == name; });
    }

    BlockDevice* find(const std::string& name, unsigned shard) {
        for (auto& each : devices_) {
            if (each->name() == name) return &each->lane(shard);
        }
        const auto found = probes_.find(name);
        return found == probes_.end() ? nullptr : found->second.get();
    }

    /// Makes a request without submitting it; its buffer is filled with `seed`.
    std::unique_ptr<Request> make(Op op, std::uint64_t sector, std::uint64_t sectors,
                                  std::uint8_t seed = 0, std::size_t segment_bytes = SIZE_MAX) {
        auto request = std::make_unique<Request>();
        if (has_data(op)) request->data.resize(sectors * sector_bytes, std::byte{seed});
        for (std::size_t at = 0; at < request->data.size();) {
            const std::size_t bytes = std::min(segment_bytes, request->data.size() - at);
            request->segments.push_back({request->data.data() + at, bytes});
            at += bytes;
        }
        Bio& bio = request->bio;
        bio.op = op;
        bio.iter.sector = sector;
        bio.iter.bytes = sectors * sector_bytes;
        bio.segments = request->segments.data();
        bio.owner = request.get();
        bio.origin = &request->origin;
        bio.done = [](Bio& ended) noexcept { ++static_cast<Request*>(ended.owner)->answers; };
        return request;
    }
    void submit(MappedDevice& device, Request& request, unsigned shard = 0) {
        request.bio.agenda = &shards_[shard].agenda;
        device.lane(shard).submit(request.bio);
    }
    std::unique_ptr<Request> io(MappedDevice& device, Op op, std::uint64_t sector,
                                std::uint64_t sectors, std::uint8_t seed = 0) {
        auto request = make(op, sector, sectors, seed);
        submit(device, *request);
        run();
        return request;
    }

    /// False: something is still below.
    bool suspend(MappedDevice& device, bool noflush = true) {
        device.suspend(noflush, [] {});
        run();
        return device.suspended();
    }
    /// Through a new table if there is one.
    void resume(MappedDevice& device, const std::string& table = {}) {
        if (!table.empty()) device.load(build(device.name(), table));
        device.resume([] {});
        run();
    }
    /// The request's connection dies: every lane of its shard hears of it.
    void abandon(Request& request, unsigned shard = 0) {
        request.origin.dead = true;
        for (auto& each : devices_) each->lane(shard).abandon(request.origin);
    }
    bool idle() {
        for (auto& each : devices_) {
            for (unsigned i = 0; i < shards(); ++i) {
                if (!each->lane(i).idle()) return false;
            }
        }
        return true;
    }
    Agenda& agenda(unsigned shard = 0) { return shards_[shard].agenda; }

    /// Runs until nothing moves without time passing.
    void run() {
        for (bool moved = true; moved;) {
            moved = false;
            for (Shard& shard : shards_) {
                moved |= !shard.agenda.empty() || !shard.posted.empty();
                drain(shard.posted);
                shard.agenda.run_all();
            }
            moved |= !control_.empty();
            drain(control_);
        }
    }
    void pass(Time time) {
        const Time until = clock.now() + time;
        do {
            run();
        } while (clock.fire_next(until));
        clock.set(until);
    }

    DeviceStats stats(MappedDevice& device) {
        DeviceStats found;
        device.stats([&](DeviceStats stats) { found = std::move(stats); });
        run();
        return found;
    }

    TestClock clock;

  private:
    struct Shard {
        Agenda agenda;
        std::deque<std::function<void()>> posted;
    };
    std::vector<MappedDevice*> mapped() {
        std::vector<MappedDevice*> all;
        for (auto& each : devices_) all.push_back(each.get());
        return all;
    }
    static void drain(std::deque<std::function<void()>>& posts) {
        while (!posts.empty()) {
            const auto what = std::move(posts.front());
            posts.pop_front();
            what();
        }
    }

    std::vector<Shard> shards_;
    std::deque<std::function<void()>> control_;
    std::map<std::string, std::unique_ptr<Probe>> probes_;
    std::vector<std::unique_ptr<MappedDevice>> devices_;
};

/// `retry: {}` of a table file.
inline DeviceOptions with_retry() {
    DeviceOptions options;
    options.retry = default_retry();
    return options;
}

}  // namespace stack
