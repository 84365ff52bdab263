#include "dmcore/joint_swap.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace dmcore {

std::vector<MappedDevice*> bottom_up(const std::vector<MappedDevice*>& devices) {
    std::map<std::string, MappedDevice*> waiting;
    for (MappedDevice* device : devices) waiting.emplace(device->name(), device);
    std::vector<MappedDevice*> order;
    const std::function<void(MappedDevice&)> add = [&](MappedDevice& device) {
        if (waiting.erase(device.name()) == 0) return;
        if (device.live() != nullptr) {
            for (const std::string& below : device.live()->below) {
                const auto found = waiting.find(below);
                if (found != waiting.end()) add(*found->second);
            }
        }
        order.push_back(&device);
    };
    for (MappedDevice* device : devices) add(*device);
    return order;
}

void restack(const std::vector<MappedDevice*>& devices, Executor& executor,
             MappedDevice::Then then) {
    const std::vector<MappedDevice*> order = bottom_up(devices);
    const auto left = std::make_shared<unsigned>(executor.shards());
    const MappedDevice::Then answered = [left, then = std::move(then)] {
        if (--*left == 0) then();
    };
    for (unsigned i = 0; i < executor.shards(); ++i) {
        executor.post(i, [&executor, i, order, answered] {
            for (MappedDevice* device : order) device->lane(i).restack();
            executor.post_control(answered);
        });
    }
}

JointSwap::JointSwap(std::vector<Part> parts, std::vector<MappedDevice*> all)
    : parts_(std::move(parts)), all_(std::move(all)) {}

/// By the tables that are live now.
std::vector<JointSwap::Part*> JointSwap::children_first() {
    std::vector<Part*> order;
    for (MappedDevice* device : bottom_up(all_)) {
        const auto part = std::ranges::find(parts_, device, &Part::device);
        if (part != parts_.end()) order.push_back(&*part);
    }
    return order;
}

/// `step(part, answer)` for each of them, in order; `then` when all have answered.
template <class Step>
void JointSwap::on_each(const std::vector<Part*>& parts, Step step, Then then) {
    auto left = std::make_shared<std::size_t>(parts.size() + 1);
    const Then answered = [left, then = std::move(then)] {
        if (--*left == 0) then();
    };
    for (Part* part : parts) step(*part, answered);
    answered();
}

void JointSwap::suspend(Then quiet) {
    std::vector<Part*> parents_first = children_first();
    std::ranges::reverse(parents_first);
    const std::uint64_t round = ++round_;
    on_each(
        parents_first,
        [](Part& part, const Then& answer) {
            part.was_suspended = part.device->suspended();
            part.device->suspend(true, answer);
        },
        [this, round, quiet = std::move(quiet)] {
            if (round == round_) quiet();
        });
}

void JointSwap::undo(Then then) {
    ++round_;
    open(std::move(then));
}

void JointSwap::open(Then then) {
    on_each(
        children_first(),
        [](Part& part, const Then& answer) {
            if (part.was_suspended) {
                answer();
            } else {
                part.device->undo_suspend(answer);
            }
        },
        std::move(then));
}

void JointSwap::commit(Then then) {
    on_each(
        children_first(),
        [](Part& part, const Then& answer) { part.device->close_targets(answer); },
        [this, then = std::move(then)] { swap(then); });
}

void JointSwap::swap(Then then) {
    if (parts_.empty()) return then();
    for (Part& part : parts_) {
        MappedDevice& device = *part.device;
        std::swap(device.live_, part.tables.shared);
        std::swap(device.options_, part.options);
    }
    all_ = bottom_up(all_);
    Executor& executor = parts_.front().device->executor_;
    const auto left = std::make_shared<unsigned>(executor.shards());
    const Then swapped = [this, left, then = std::move(then)] {
        if (--*left != 0) return;
        for (Part& part : parts_) {
            part.tables.keep.reset();  // The lanes have it.
            ++part.device->event_number_;
            part.device->on_event_();
        }
        open(then);
    };
    for (unsigned i = 0; i < executor.shards(); ++i) {
        executor.post(i, [this, i, &executor, swapped] {
            swap_lanes(i);
            executor.post_control(swapped);
        });
    }
}

/// On that shard. All of the devices in one go, and what stands on them learns of it, before any
/// gate opens.
void JointSwap::swap_lanes(unsigned shard) {
    std::vector<Lane::Swap> swaps;
    for (Part& part : parts_) {
        swaps.push_back({&part.device->lane(shard), std::move(part.tables.lanes[shard]),
                         part.tables.keep, part.device->options_});
    }
    Lane::swap(swaps);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        parts_[i].tables.lanes[shard] = std::move(swaps[i].table);
    }
    for (MappedDevice* device : all_) device->lane(shard).restack();
}

}  // namespace dmcore
