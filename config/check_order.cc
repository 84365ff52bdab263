#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "config/arguments.h"
#include "config/checks.h"
#include "config/closest.h"
#include "dmcore/registry.h"

namespace config {
namespace {

constexpr std::size_t stack_max = 64;
constexpr std::size_t cycle_names_max = 8;

/// Every name, with where it was given.
class Names {
  public:
    explicit Names(Checking& checking) : found_(checking.found) {
        for (const StoreSpec& store : checking.spec.stores) add(store.name, store.position);
        for (const DeviceSpec& device : checking.spec.devices) add(device.name, device.position);
    }

    bool has(const std::string& name) const { return places_.contains(name); }
    const std::vector<std::string_view>& all() const noexcept { return all_; }

  private:
    void add(const std::string& name, const Position& at) {
        const auto [first, is_first] = places_.emplace(name, at);
        all_.push_back(name);
        if (is_first) return;
        found_.error(
            at, {"duplicate-name", in_quotes(name) + " is given twice",
                 "stores and devices share their names", "rename one of the two", first->second});
    }

    Diagnostics& found_;
    std::unordered_map<std::string_view, Position> places_;
    std::vector<std::string_view> all_;
};

void unknown_name(Checking& checking, const DeviceSpec& device, const Names& names,
                  const std::string& name, const Position& at) {
    const std::string what = "device " + in_quotes(device.name) + ": ";
    if (name.find_first_of(":/") != std::string::npos) {
        checking.found.error(at, {"unmapped-device",
                                  what + in_quotes(name) + " is not a store or device of this file",
                                  {},
                                  "say which one it is: map: { \"" + name + "\": NAME }"});
        return;
    }
    checking.found.error(at, {"unknown-device",
                              what + "there is no store or device " + in_quotes(name),
                              did_you_mean(name, names.all()),
                              {}});
}

void find_below(Checking& checking, DeviceSpec& device, const Names& names) {
    std::unordered_set<std::string> seen;
    for (std::size_t row = 0; row < device.rows.size(); ++row) {
        const auto& words = device.rows[row].words;
        const auto* type = dmcore::find_target_type(device.rows[row].target);
        if (type == nullptr) continue;
        for (const Leg& leg : find_legs(*type, words).list) {
            const std::string& name = words[leg.word];
            if (seen.contains(name)) continue;
            seen.insert(name);
            if (names.has(name)) {
                device.below.push_back(name);
            } else {
                const Position at =
                    device.place.of(static_cast<int>(row), static_cast<int>(leg.word),
                                    dmcore::TableError::Part::args);
                unknown_name(checking, device, names, name, at);
            }
        }
    }
}

/// The devices as a graph: who stands on whom.
class Stack {
  public:
    explicit Stack(Spec& spec) : spec_(spec), below_(spec.devices.size()), above_(below_.size()) {
        std::unordered_map<std::string_view, std::size_t> index;
        for (std::size_t i = 0; i < spec.devices.size(); ++i)
            index.emplace(spec.devices[i].name, i);
        for (std::size_t i = 0; i < spec.devices.size(); ++i) {
            for (const std::string& name : spec.devices[i].below) {
                const auto device = index.find(name);
                if (device == index.end()) continue;
                below_[i].push_back(device->second);
                above_[device->second].push_back(i);
            }
        }
    }

    /// Takes away, again and again, a device with nothing left below it. What remains stands on a
    /// cycle.
    void order(Diagnostics& found) {
        std::vector<std::size_t> waits_for(below_.size());
        std::vector<std::size_t> levels(below_.size(), 1);
        for (std::size_t i = 0; i < below_.size(); ++i) {
            waits_for[i] = below_[i].size();
            if (below_[i].empty()) spec_.build_order.push_back(i);
        }
        for (std::size_t next = 0; next < spec_.build_order.size(); ++next) {
            const std::size_t device = spec_.build_order[next];
            if (levels[device] == stack_max + 1) report_depth(found, device);
            for (const std::size_t above : above_[device]) {
                levels[above] = std::max(levels[above], levels[device] + 1);
                if (--waits_for[above] == 0) spec_.build_order.push_back(above);
            }
        }
        find_cycles(found, waits_for);
    }

  private:
    void report_depth(Diagnostics& found, std::size_t device) const {
        const DeviceSpec& spec = spec_.devices[device];
        found.error(spec.position, {"too-deep",
                                    "device " + in_quotes(spec.name) + " is number " +
                                        std::to_string(stack_max + 1) + " of a stack",
                                    {},
                                    "at most 64 devices may stand on one another"});
    }

    /// Walks down from each device that is left; a walk that meets itself has found a cycle, one
    /// that meets an earlier walk has not.
    void find_cycles(Diagnostics& found, const std::vector<std::size_t>& waits_for) const {
        std::vector<std::size_t> walk_of(below_.size(), 0);
        for (std::size_t start = 0; start < below_.size(); ++start) {
            std::vector<std::size_t> path;
            std::size_t at = start;
            while (waits_for[at] > 0 && walk_of[at] == 0) {
                walk_of[at] = start + 1;
                path.push_back(at);
                at = *std::find_if(below_[at].begin(), below_[at].end(),
                                   [&](std::size_t lower) { return waits_for[lower] > 0; });
            }
            if (waits_for[at] == 0 || walk_of[at] != start + 1) continue;
            path.erase(path.begin(), std::find(path.begin(), path.end(), at));
            // The same cycle reads best from where the file begins it.
            std::rotate(path.begin(), std::min_element(path.begin(), path.end()), path.end());
            report_cycle(found, path);
        }
    }

    void report_cycle(Diagnostics& found, const std::vector<std::size_t>& cycle) const {
        const DeviceSpec& first = spec_.devices[cycle.front()];
        std::string path;
        for (std::size_t i = 0; i < cycle.size(); ++i) {
            if (i == cycle_names_max) path += "... -> ";
            if (i >= cycle_names_max && i + 1 != cycle.size()) continue;
            path += spec_.devices[cycle[i]].name + " -> ";
        }
        const std::string& lower = spec_.devices[cycle[cycle.size() > 1 ? 1 : 0]].name;
        found.error(place_of_name(first, lower),
                    {"cycle",
                     in_quotes(first.name) + " is built on itself: " + path + first.name,
                     {},
                     "let one of them use a store instead"});
    }

    static Position place_of_name(const DeviceSpec& device, const std::string& name) {
        for (std::size_t row = 0; row < device.rows.size(); ++row) {
            const auto& words = device.rows[row].words;
            const auto* type = dmcore::find_target_type(device.rows[row].target);
            if (type == nullptr) continue;
            for (const Leg& leg : find_legs(*type, words).list) {
                if (words[leg.word] != name) continue;
                return device.place.of(static_cast<int>(row), static_cast<int>(leg.word),
                                       dmcore::TableError::Part::args);
            }
        }
        return device.position;
    }

    Spec& spec_;
    std::vector<std::vector<std::size_t>> below_;
    std::vector<std::vector<std::size_t>> above_;
};

}  // namespace

void check_references(Checking& checking) {
    const Names names(checking);
    for (DeviceSpec& device : checking.spec.devices) find_below(checking, device, names);
}

void check_order(Checking& checking) {
    Stack(checking.spec).order(checking.found);
}

}  // namespace config
