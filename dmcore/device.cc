#include "dmcore/device.h"

#include <mutex>
#include <set>

namespace dmcore {

const char* interned(std::string_view text) {
    static std::mutex mutex;
    static std::set<std::string, std::less<>> strings;
    const std::lock_guard lock(mutex);
    const auto found = strings.find(text);
    return (found != strings.end() ? found : strings.emplace(text).first)->c_str();
}

}  // namespace dmcore
