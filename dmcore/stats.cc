#include "dmcore/stats.h"

#include <algorithm>
#include <cstdio>

namespace dmcore {

void DeviceStats::add(const DeviceStats& other) {
    for (std::size_t i = 0; i < ops.size(); ++i) {
        ops[i].ios += other.ops[i].ios;
        ops[i].sectors += other.ops[i].sectors;
        ops[i].time += other.ops[i].time;
    }
    reads_in_flight += other.reads_in_flight;
    writes_in_flight += other.writes_in_flight;
    busy = std::max(busy, other.busy);
    pending += other.pending;
    splits += other.splits;
    stage_one += other.stage_one;
    stage_two += other.stage_two;
    retried += other.retried;
    retries_exhausted += other.retries_exhausted;
    deferred += other.deferred;
    waiting_retry += other.waiting_retry;
    waiting_overlap += other.waiting_overlap;
    parked_bytes += other.parked_bytes;
    faults.add(other.faults);
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

std::string sysfs_stat(const DeviceStats& stats) {
    const auto sum = [&](std::initializer_list<Op> ops) {
        OpStats total;
        for (const Op op : ops) {
            const OpStats& one = stats.ops[static_cast<std::size_t>(op)];
            total.ios += one.ios;
            total.sectors += one.sectors;
            total.time += one.time;
        }
        return total;
    };
    const auto ms = [](Time time) {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
    };
    const OpStats reads = sum({Op::read});
    const OpStats writes = sum({Op::write, Op::flush, Op::write_zeroes});
    const OpStats discards = sum({Op::discard});
    const std::uint64_t columns[] = {reads.ios,
                                     0,
                                     reads.sectors,
                                     ms(reads.time),
                                     writes.ios,
                                     0,
                                     writes.sectors,
                                     ms(writes.time),
                                     stats.in_flight(),
                                     ms(stats.busy),
                                     ms(reads.time) + ms(writes.time) + ms(discards.time),
                                     discards.ios,
                                     0,
                                     discards.sectors,
                                     ms(discards.time),
                                     0,
                                     0};
    std::string text;
    for (const std::uint64_t column : columns) {
        char word[32];
        std::snprintf(word, sizeof word, text.empty() ? "%8llu" : " %8llu",
                      static_cast<unsigned long long>(column));
        text += word;
    }
    return text;
}

}  // namespace dmcore
