#include "dmcore/device.h"

#include <algorithm>
#include <mutex>
#include <set>

namespace dmcore {

void StoreWalk::visit(BlockDevice& device, const std::shared_ptr<void>& keep) {
    if (seen_.insert(&device).second) device.lead(*this, keep);
}

void StoreWalk::found(BlockDevice& store, const std::shared_ptr<void>& keep) {
    if (!has(store)) stores_.push_back({&store, keep});
}

bool StoreWalk::has(const BlockDevice& store) const {
    return std::ranges::find(stores_, &store, &Found::store) != stores_.end();
}

const char* interned(std::string_view text) {
    static std::mutex mutex;
    static std::set<std::string, std::less<>> strings;
    const std::lock_guard lock(mutex);
    const auto found = strings.find(text);
    return (found != strings.end() ? found : strings.emplace(text).first)->c_str();
}

}  // namespace dmcore
