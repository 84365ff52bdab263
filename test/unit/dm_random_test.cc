// Random stacks of devices under random I/O, failures, suspends, swaps and deaths, checked against
// a flat model of what every sector of every probe may hold. DMNBD_TEST_SEED=N runs that seed
// alone.
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>

#include "stack.h"

using namespace stack;

namespace {

constexpr std::uint64_t probe_sectors = 256;

/// Where a sector of a device lies in the end.
struct Place {
    enum Kind { stored, zero, fails } kind = zero;
    std::string probe;
    std::uint64_t sector = 0;
    bool operator<(const Place& other) const {
        return std::tie(probe, sector) < std::tie(other.probe, other.sector);
    }
};

/// What a row says, told apart from the code under test.
Place place_of(const std::map<std::string, std::vector<RowSpec>>& devices, const std::string& name,
               std::uint64_t sector) {
    const auto device = devices.find(name);
    if (device == devices.end()) return {Place::stored, name, sector};
    for (const RowSpec& row : device->second) {
        if (sector >= row.start_sector + row.sectors) continue;
        const std::uint64_t offset = sector - row.start_sector;
        const auto number = [&](std::size_t i) { return std::stoull(row.words[i]); };
        if (row.target == "error") return {Place::fails, {}, 0};
        if (row.target == "zero") return {};
        if (row.target == "striped") {
            const std::uint64_t count = number(0), chunk = number(1), at = offset / chunk;
            const std::size_t leg = 2 + 2 * (at % count);
            return place_of(devices, row.words[leg],
                            number(leg + 1) + at / count * chunk + offset % chunk);
        }
        return place_of(devices, row.words[0], number(1) + offset);
    }
    return {Place::fails, {}, 0};
}

class Chaos {
  public:
    explicit Chaos(std::uint64_t seed)
        : random_(seed), shards_(1 + static_cast<unsigned>(random_.below(3))), world_(shards_) {
        for (const char* name : {"p", "q", "r"}) {
            Probe& probe = world_.probe(name, probe_sectors);
            probe.decide = [this, &probe](const Bio&) { return decide(probe); };
            sizes_[name] = probe_sectors;
        }
        const std::uint64_t depth = 1 + random_.below(4);
        for (std::uint64_t level = 0; level < depth; ++level)
            add_device("d" + std::to_string(level));
    }

    void run(int steps) {
        for (int i = 0; i < steps; ++i) step();
        finish();
        check_contents();
    }

  private:
    struct Sent {
        std::unique_ptr<Request> request;
        std::string device;
        unsigned shard;
        Op op;
        std::uint64_t sector;
        std::uint64_t sectors;
        std::uint64_t stamp;
    };

    Probe::Answer decide(Probe& probe) {
        if (calm_) return Answer::good;
        const std::uint64_t dice = random_.below(100);
        probe.failure = {.status = dice % 2 == 0 ? Status::io_error : Status::again};
        if (dice < 8) return Answer::fail;
        if (dice < 20) return Answer::keep;
        return dice < 24 ? Answer::requeue : Answer::good;
    }

    std::string random_row(std::uint64_t start, std::uint64_t* length) {
        const auto below = [&] {
            return std::next(sizes_.begin(),
                             static_cast<std::ptrdiff_t>(random_.below(sizes_.size())));
        };
        const std::uint64_t dice = random_.below(10);
        std::string text;
        *length = 1 + random_.below(60);
        if (dice == 0) {
            text = " zero";
        } else if (dice == 1) {
            text = " error";
        } else if (dice < 6) {
            const std::uint64_t legs = 1 + random_.below(3), chunk = 1 + random_.below(7);
            const std::uint64_t rows = 1 + random_.below(5);
            *length = legs * chunk * rows;
            text = " striped " + std::to_string(legs) + ' ' + std::to_string(chunk);
            for (std::uint64_t i = 0; i < legs; ++i) {
                const auto leg = below();
                if (leg->second < chunk * rows) return random_row(start, length);
                text += ' ' + leg->first + ' ' +
                        std::to_string(random_.below(leg->second - chunk * rows + 1));
            }
        } else {
            const auto under = below();
            *length = std::min(*length, under->second);
            text = (dice < 8 ? " linear " : " flakey ") + under->first + ' ' +
                   std::to_string(random_.below(under->second - *length + 1)) +
                   (dice < 8 ? "" : " 180 0");
        }
        return std::to_string(start) + ' ' + std::to_string(*length) + text + '\n';
    }

    void add_device(const std::string& name) {
        std::string text;
        std::uint64_t size = 0;
        for (std::uint64_t rows = 1 + random_.below(5); rows > 0; --rows) {
            std::uint64_t length = 0;
            text += random_row(size, &length);
            size += length;
        }
        DeviceOptions options;
        if (random_.below(2) == 0) options.retry = default_retry();
        if (random_.below(4) == 0) options.retry = no_retry();
        options.retry.attempts = static_cast<std::uint32_t>(1 + random_.below(6));
        devices_[name] = &world_.device(name, text, options);
        tables_[name] = rows_of(text);
        sizes_[name] = size;
    }

    /// The same mapping in other rows: what can be cut is cut at random.
    std::string other_cuts(const std::string& name) {
        std::string text;
        for (const RowSpec& row : tables_[name]) {
            std::uint64_t done = 0;
            while (done < row.sectors) {
                const bool whole = row.target == "striped" || random_.below(3) == 0;
                const std::uint64_t left = row.sectors - done;
                const std::uint64_t take = whole ? left : 1 + random_.below(left);
                text += std::to_string(row.start_sector + done) + ' ' + std::to_string(take) + ' ' +
                        row.target;
                for (std::size_t i = 0; i < row.words.size(); ++i) {
                    const bool moved = i == 1 && row.target != "striped";
                    text += ' ' + (moved ? std::to_string(std::stoull(row.words[i]) + done)
                                         : row.words[i]);
                }
                text += '\n';
                done += take;
            }
        }
        return text;
    }

    void step() {
        const std::uint64_t dice = random_.below(100);
        if (dice < 55) {
            send();
        } else if (dice < 75) {
            let_go(false);
        } else if (dice < 85) {
            change_device();
        } else if (dice < 88 && !sent_.empty()) {
            Sent& victim = sent_[random_.below(sent_.size())];
            world_.abandon(*victim.request, victim.shard);
        } else if (dice < 92) {
            world_.pass(std::chrono::milliseconds(random_.below(100)));
        }
        if (random_.below(3) != 0) world_.run();
        harvest();
    }

    const std::string& random_device() {
        return std::next(devices_.begin(),
                         static_cast<std::ptrdiff_t>(random_.below(devices_.size())))
            ->first;
    }

    /// Sends what overlaps no I/O under way, so that there is one right answer.
    void send() {
        Sent one;
        one.device = random_device();
        one.shard = static_cast<unsigned>(random_.below(shards_));
        one.op = static_cast<Op>(random_.below(op_count));
        if (one.op == Op::discard && !devices_[one.device]->lane(0).limits().discard) return;
        const std::uint64_t size = sizes_[one.device];
        one.sector = random_.below(size);
        one.sectors = one.op == Op::flush ? 0 : 1 + random_.below(size - one.sector);
        one.stamp = ++last_stamp_;
        for (const Place& place : places(one)) {
            if (busy_.contains(place)) return;
        }
        for (const Place& place : places(one)) busy_.insert(place);
        one.request = world_.make(one.op, one.sector, one.sectors, 0xee, 1 + random_.below(5000));
        if (one.op == Op::write) {
            for (std::uint64_t i = 0; i < one.sectors; ++i) {
                stamp(one.request->data, i, one.stamp);
            }
        }
        world_.submit(*devices_[one.device], *one.request, one.shard);
        sent_.push_back(std::move(one));
    }

    std::vector<Place> places(const Sent& one) const {
        std::vector<Place> all;
        for (std::uint64_t i = 0; i < one.sectors; ++i) {
            const Place place = place_of(tables_, one.device, one.sector + i);
            if (place.kind == Place::stored) all.push_back(place);
        }
        return all;
    }

    static void stamp(std::vector<std::byte>& data, std::uint64_t index, std::uint64_t value) {
        for (std::size_t at = 0; at < sector_bytes; at += sizeof value) {
            std::memcpy(data.data() + index * sector_bytes + at, &value, sizeof value);
        }
    }

    void let_go(bool everything) {
        for (const char* name : {"p", "q", "r"}) {
            Probe& probe = world_.probe(name);
            probe.seen.clear();
            while (!probe.kept.empty() && (everything || random_.below(3) != 0)) {
                const auto place = probe.kept.begin() +
                                   static_cast<std::ptrdiff_t>(random_.below(probe.kept.size()));
                Bio& bio = **place;
                probe.kept.erase(place);
                const std::uint64_t dice = calm_ ? 9 : random_.below(10);
                if (dice < 2) {
                    bio.fail({.status = dice == 0 ? Status::requeue : Status::io_error}, 0);
                } else {
                    probe.finish(bio);
                }
            }
        }
    }

    void change_device() {
        const std::string& name = random_device();
        MappedDevice& device = *devices_[name];
        if (changing_.contains(name)) {  // Its suspend has not come to an end.
            if (random_.below(2) == 0 || device.suspended()) wake(name);
            return;
        }
        changing_.insert(name);
        device.suspend(random_.below(3) != 0, [] {});
    }

    void wake(const std::string& name) {
        MappedDevice& device = *devices_[name];
        world_.run();
        changing_.erase(name);
        if (device.suspended() && random_.below(2) == 0) {
            device.load(world_.build(name, other_cuts(name)));
            device.resume([] {});
        } else {
            device.undo_suspend([] {});
        }
        world_.run();
    }

    void harvest() {
        for (std::size_t i = 0; i < sent_.size();) {
            if (sent_[i].request->answers == 0) {
                ++i;
                continue;
            }
            judge(sent_[i]);
            answered_.push_back(std::move(sent_[i].request));
            sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }

    void judge(const Sent& one) {
        const Status status = one.request->status();
        REQUIRE(status != Status::requeue);
        std::map<Place, int> times;
        bool to_fail = false;
        for (std::uint64_t i = 0; i < one.sectors; ++i) {
            const Place place = place_of(tables_, one.device, one.sector + i);
            to_fail |= place.kind == Place::fails;
            if (place.kind == Place::stored) ++times[place];
        }
        CAPTURE(one.device);
        CAPTURE(one.sector);
        CAPTURE(one.sectors);
        if (to_fail) REQUIRE(status != Status::ok);  // [L-37]
        if (one.op == Op::read && status == Status::ok) check_read(one);
        for (const auto& [place, count] : times) {
            busy_.erase(place);
            if (!is_write_like(one.op)) continue;
            const std::uint64_t value = one.op == Op::write ? one.stamp : 0;
            contents_[place] = status == Status::ok ? std::optional(value) : std::nullopt;
        }
    }

    void check_read(const Sent& one) {
        for (std::uint64_t i = 0; i < one.sectors; ++i) {
            const Place place = place_of(tables_, one.device, one.sector + i);
            const auto known = contents_.find(place);
            std::optional<std::uint64_t> value = 0;
            if (place.kind == Place::stored && known != contents_.end()) value = known->second;
            if (!value) continue;
            std::vector<std::byte> expected(sector_bytes);
            stamp(expected, 0, *value);
            REQUIRE(std::memcmp(expected.data(), one.request->data.data() + i * sector_bytes,
                                sector_bytes) == 0);
        }
    }

    void finish() {
        calm_ = true;
        for (const auto& [name, device] : devices_) {
            changing_.erase(name);
            device->undo_suspend([] {});
        }
        for (int i = 0; i < 3; ++i) {
            world_.run();
            let_go(true);
            world_.pass(std::chrono::seconds(20));
        }
        harvest();
        REQUIRE(sent_.empty());
        for (const auto& each : answered_) REQUIRE(each->answers == 1);
        REQUIRE(world_.idle());  // Every pool is full again.
        for (const auto& [name, device] : devices_) REQUIRE(world_.stats(*device).pending == 0);
    }

    void check_contents() {
        for (const auto& [name, device] : devices_) {
            for (std::uint64_t sector = 0; sector < sizes_[name]; ++sector) {
                Sent one{world_.make(Op::read, sector, 1), name, 0, Op::read, sector, 1, 0};
                world_.submit(*device, *one.request);
                world_.run();
                if (one.request->answers == 0) world_.pass(std::chrono::seconds(20));  // Retries.
                REQUIRE(one.request->answers == 1);
                judge(one);
            }
        }
    }

    Random random_;
    const unsigned shards_;
    World world_;
    std::map<std::string, MappedDevice*> devices_;
    std::map<std::string, std::vector<RowSpec>> tables_;
    std::map<std::string, std::uint64_t> sizes_;
    std::set<std::string> changing_;
    std::vector<Sent> sent_;
    std::vector<std::unique_ptr<Request>> answered_;
    std::set<Place> busy_;
    std::map<Place, std::optional<std::uint64_t>> contents_;  // No value: either may be there.
    std::uint64_t last_stamp_ = 0;
    bool calm_ = false;
};

}  // namespace

TEST_CASE("random stacks keep every promise of dm-semantics 3.7 ([R-1]..[R-15], [R-19], [R-21])") {
    const char* chosen = std::getenv("DMNBD_TEST_SEED");
    const std::uint64_t first = chosen == nullptr ? 1 : std::strtoull(chosen, nullptr, 10);
    const std::uint64_t count = chosen == nullptr ? 150 : 1;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        CAPTURE(seed);
        Chaos(seed).run(300);
    }
}
