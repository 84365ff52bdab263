#include "dmcore/mapped_device.h"

#include <mutex>
#include <utility>

namespace dmcore {

MappedDevice::MappedDevice(std::string name, Executor& executor, std::span<const ShardSeams> shards,
                           const DeviceOptions& options)
    : executor_(executor),
      options_(options),
      shared_(std::make_shared<DeviceShared>(std::move(name), static_cast<unsigned>(shards.size()),
                                             executor)) {
    for (unsigned i = 0; i < shards.size(); ++i) {
        lanes_.push_back(
            std::make_unique<Lane>(shared_, i, *shards[i].agenda, *shards[i].clock, options));
    }
}

/// `each` passes its `answer` on, or calls it, on the lane's shard.
void MappedDevice::on_each_lane(const std::function<void(Lane&, Then answer)>& each, Then then) {
    auto left = std::make_shared<std::size_t>(lanes_.size());
    const auto answered = [left, then = std::move(then)] {
        if (--*left == 0) then();
    };
    for (unsigned i = 0; i < lanes_.size(); ++i) {
        executor_.post(i, [this, each, answered, lane = lanes_[i].get()] {
            each(*lane, [this, answered] { executor_.post_control(answered); });
        });
    }
}

void MappedDevice::for_each_lane(const std::function<void(Lane&)>& each, Then then) {
    on_each_lane(
        [each](Lane& lane, const Then& answer) {
            each(lane);
            answer();
        },
        std::move(then));
}

void MappedDevice::suspend(bool noflush, Then then) {
    if (suspended_) {
        then();
        return;
    }
    const std::uint64_t round = ++suspend_round_;
    auto left = std::make_shared<std::size_t>(lanes_.size());
    const auto quiet = [this, left, round, then = std::move(then)] {
        if (round != suspend_round_ || --*left != 0) return;
        suspended_ = true;
        then();
    };
    for (unsigned i = 0; i < lanes_.size(); ++i) {
        executor_.post(i, [this, noflush, quiet, lane = lanes_[i].get()] {
            lane->close_gate(noflush, [this, quiet] { executor_.post_control(quiet); });
        });
    }
}

void MappedDevice::undo_suspend(Then then) {
    ++suspend_round_;
    suspended_ = false;
    if (!has_inactive_table()) inactive_ = std::move(resuming_);
    resuming_ = {};
    for_each_lane([](Lane& lane) { lane.open_gate(); }, std::move(then));
}

void MappedDevice::resume(Then then, bool noflush) {
    if (!has_inactive_table()) {
        undo_suspend(std::move(then));
        return;
    }
    resuming_ = std::exchange(inactive_, {});
    suspend(noflush,
            [this, then = std::move(then)] { close_targets([this, then] { swap(then); }); });
}

void MappedDevice::retire(Then then) {
    inactive_ = {};
    suspend(false, [this, then = std::move(then)] { close_targets(then); });
}

void MappedDevice::end(Then then) {
    auto left = std::make_shared<std::size_t>(lanes_.size());
    const auto destroyed = [left, then = std::move(then)] {
        if (--*left == 0) then();
    };
    for (unsigned i = 0; i < lanes_.size(); ++i) {
        executor_.post(i, [this, i, destroyed] {
            lanes_[i]->end([this, i, destroyed] {
                lanes_[i].reset();
                executor_.post_control(destroyed);
            });
        });
    }
}

void MappedDevice::set_options(const DeviceOptions& options, Then then) {
    options_ = options;
    for_each_lane([options](Lane& lane) { lane.set_options(options); }, std::move(then));
}

std::vector<const TableShared*> MappedDevice::tables() const {
    std::vector<const TableShared*> all;
    for (const auto& each : {live_, inactive_.shared, resuming_.shared}) {
        if (each != nullptr) all.push_back(each.get());
    }
    return all;
}

void MappedDevice::close_targets(Then then) {
    on_each_lane([](Lane& lane, const Then& answer) { lane.close_targets(answer); },
                 std::move(then));
}

void MappedDevice::message(std::uint64_t sector, std::vector<std::string> words,
                           std::function<void(MessageAnswer)> then) {
    auto answer = std::make_shared<MessageAnswer>();
    executor_.post(0, [this, sector, answer, words = std::move(words), then = std::move(then)] {
        *answer = lanes_[0]->message(sector, words);
        executor_.post_control([answer, then] { then(std::move(*answer)); });
    });
}

/// Every lane is quiet here, so no I/O under the old table overlaps one under the new.
void MappedDevice::swap(Then then) {
    auto tables = std::make_shared<TableSet>(std::exchange(resuming_, {}));
    live_ = tables->shared;
    for_each_lane(
        [this, tables](Lane& lane) {
            for (unsigned i = 0; i < lanes_.size(); ++i) {
                if (lanes_[i].get() != &lane) continue;
                Lane::Swap swap{&lane, std::move(tables->lanes[i]), tables->keep, options_};
                Lane::swap({&swap, 1});
            }
        },
        [this, then = std::move(then)] {
            ++event_number_;
            on_event_();
            on_swap_([this, then] { undo_suspend(then); });
        });
}

void MappedDevice::stats(std::function<void(DeviceStats)> then) {
    struct Sum {
        std::mutex mutex;
        DeviceStats stats;
    };
    auto sum = std::make_shared<Sum>();
    for_each_lane(
        [sum](Lane& lane) {
            const std::lock_guard lock(sum->mutex);
            sum->stats.add(lane.stats());
        },
        [sum, then = std::move(then)] { then(std::move(sum->stats)); });
}

}  // namespace dmcore
