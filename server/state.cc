#include "server/state.h"

#include <algorithm>

namespace server {

std::shared_ptr<OpenStore> State::store(std::string_view name) const {
    const auto found =
        std::ranges::find_if(stores, [&](const auto& each) { return each->name() == name; });
    return found == stores.end() ? nullptr : *found;
}

std::shared_ptr<Device> State::device(std::string_view name) const {
    const auto found = std::ranges::find_if(
        devices, [&](const auto& each) { return each->mapped.name() == name; });
    return found == devices.end() ? nullptr : *found;
}

std::shared_ptr<void> State::object(std::string_view name) const {
    if (auto found = store(name)) return found;
    return device(name);
}

bool State::has(const Device& device) const {
    return std::ranges::any_of(devices, [&](const auto& each) { return each.get() == &device; });
}

bool State::serves(const Connection& connection) const {
    const Export* entered = connection.entered();
    if (entered == nullptr) return true;
    return exports->find(entered->spec().name) != nullptr && has(entered->device());
}

std::shared_ptr<void> State::keep(const std::vector<std::string>& names) const {
    auto all = std::make_shared<std::vector<std::shared_ptr<void>>>();
    for (const std::string& name : names) all->push_back(object(name));
    return all;
}

}  // namespace server
