#include "dmcore/stats.h"

#include <algorithm>

namespace dmcore {

void DeviceStats::add(const DeviceStats& other) {
    for (std::size_t i = 0; i < ops.size(); ++i) {
        ops[i].ios += other.ops[i].ios;
        ops[i].sectors += other.ops[i].sectors;
        ops[i].time += other.ops[i].time;
    }
    in_flight += other.in_flight;
    splits += other.splits;
    stage_one += other.stage_one;
    stage_two += other.stage_two;
    retried += other.retried;
    retries_exhausted += other.retries_exhausted;
    deferred += other.deferred;
    waiting_retry += other.waiting_retry;
    waiting_overlap += other.waiting_overlap;
    parked_bytes += other.parked_bytes;
    for (const Below& one : other.below) {
        const auto same = std::find_if(below.begin(), below.end(),
                                       [&](const Below& mine) { return mine.name == one.name; });
        if (same == below.end()) {
            below.push_back(one);
        } else {
            same->issued += one.issued;
            same->reissued += one.reissued;
            same->reissued_fan_out += one.reissued_fan_out;
        }
    }
}

}  // namespace dmcore
