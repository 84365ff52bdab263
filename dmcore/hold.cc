#include "dmcore/hold.h"

#include <algorithm>
#include <cassert>

namespace dmcore {

Hold* HoldTable::publish(std::uint64_t start_sector, std::uint64_t sectors, bool fresh) {
    const std::lock_guard lock(mutex_);
    active_.fetch_add(1, std::memory_order_release);
    if (holds_.empty()) longest_sectors_ = 0;
    longest_sectors_ = std::max(longest_sectors_, sectors);
    const Hold hold{start_sector, start_sector + sectors, fresh, next_order_++, sectors};
    if (spare_.empty()) return &holds_.emplace(start_sector, hold)->second;
    Holds::node_type node = std::move(spare_.back());
    spare_.pop_back();
    node.key() = start_sector;
    node.mapped() = hold;
    return &holds_.insert(std::move(node))->second;
}

bool HoldTable::blocked(std::uint64_t start_sector, std::uint64_t end_sector, const Hold* own,
                        unsigned lane) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t back = std::min(start_sector, longest_sectors_);
    const bool found = std::any_of(
        holds_.lower_bound(start_sector - back), holds_.lower_bound(end_sector),
        [&](const Holds::value_type& each) {
            const Hold& hold = each.second;
            return start_sector < hold.end_sector && (own == nullptr || hold.before(*own));
        });
    if (found) waiting_[lane] = true;
    return found;
}

void HoldTable::release(Hold& hold, std::uint64_t sectors,
                        const std::function<void(unsigned)>& wake) {
    const std::lock_guard lock(mutex_);
    assert(sectors <= hold.sectors_left);
    hold.sectors_left -= sectors;
    if (hold.sectors_left != 0) return;
    const auto [first, last] = holds_.equal_range(hold.start_sector);
    const auto place = std::find_if(
        first, last, [&](const Holds::value_type& each) { return &each.second == &hold; });
    spare_.push_back(holds_.extract(place));
    active_.fetch_sub(1, std::memory_order_release);
    for (unsigned lane = 0; lane < waiting_.size(); ++lane) {
        if (waiting_[lane]) wake(lane);
        waiting_[lane] = false;
    }
}

}  // namespace dmcore
