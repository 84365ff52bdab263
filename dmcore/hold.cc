#include "dmcore/hold.h"

#include <algorithm>
#include <cassert>

namespace dmcore {

Hold* HoldTable::publish(std::uint64_t start_sector, std::uint64_t sectors, bool fresh) {
    const std::lock_guard lock(mutex_);
    active_.fetch_add(1, std::memory_order_release);
    if (spare_.empty()) spare_.emplace_back();
    holds_.splice(holds_.end(), spare_, spare_.begin());
    holds_.back() = {start_sector, start_sector + sectors, fresh, next_order_++, sectors};
    return &holds_.back();
}

bool HoldTable::blocked(std::uint64_t start_sector, std::uint64_t end_sector, const Hold* own,
                        unsigned lane) {
    const std::lock_guard lock(mutex_);
    const bool found = std::any_of(holds_.begin(), holds_.end(), [&](const Hold& each) {
        const bool earlier = own == nullptr || each.before(*own);
        return earlier && each.start_sector < end_sector && start_sector < each.end_sector;
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
    const auto place = std::find_if(holds_.begin(), holds_.end(),
                                    [&](const Hold& each) { return &each == &hold; });
    spare_.splice(spare_.begin(), holds_, place);
    active_.fetch_sub(1, std::memory_order_release);
    for (unsigned lane = 0; lane < waiting_.size(); ++lane) {
        if (waiting_[lane]) wake(lane);
        waiting_[lane] = false;
    }
}

}  // namespace dmcore
