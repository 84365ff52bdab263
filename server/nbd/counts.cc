#include "server/nbd/counts.h"

#include <algorithm>
#include <numeric>

namespace server::nbd {
namespace {

/// Where RequestCounts::ops has it.
std::size_t index_of(Command command) noexcept {
    switch (command) {
        case Command::read: return 0;
        case Command::write: return 1;
        case Command::flush: return 2;
        case Command::trim: return 3;
        case Command::write_zeroes: return 4;
        default: return 5;
    }
}

template <class Counts>
void add_each(Counts& to, const Counts& from) noexcept {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

}  // namespace

void Durations::add(Time time) noexcept {
    const auto bound = std::lower_bound(bounds.begin(), bounds.end(), time);
    ++counts[static_cast<std::size_t>(bound - bounds.begin())];
    sum += time;
}

void Durations::add(const Durations& other) noexcept {
    add_each(counts, other.counts);
    sum += other.sum;
}

std::uint64_t Durations::count() const noexcept {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

void RequestCounts::add(Command command, NbdError error, Durations::Time time) noexcept {
    Op& op = by_op[index_of(command)];
    op.durations.add(time);
    if (error == NbdError::none) return;
    const auto at = std::find(errors.begin(), errors.end(), error);
    if (at != errors.end()) ++op.failed[static_cast<std::size_t>(at - errors.begin())];
}

void RequestCounts::add(const RequestCounts& other) noexcept {
    for (std::size_t i = 0; i < by_op.size(); ++i) {
        by_op[i].durations.add(other.by_op[i].durations);
        add_each(by_op[i].failed, other.by_op[i].failed);
    }
}

}  // namespace server::nbd
