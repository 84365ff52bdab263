#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dmcore/device.h"

namespace fuzz {

/// Sectors of devices, each with how often it is there. Two ways to say the same are equal.
class Coverage {
  public:
    void add(const dmcore::BlockDevice& device, std::uint64_t sector, std::uint64_t sectors) {
        change(device, sector, 1);
        change(device, sector + sectors, -1);
    }
    /// Is each sector there at least as often as in `other`?
    bool holds(const Coverage& other) const {
        Coverage rest = *this;
        for (const auto& [place, count] : other.changes_) {
            rest.change(*place.first, place.second, -count);
        }
        long sum = 0;
        const dmcore::BlockDevice* device = nullptr;
        for (const auto& [place, count] : rest.changes_) {
            if (std::exchange(device, place.first) != place.first) sum = 0;
            if ((sum += count) < 0) return false;
        }
        return true;
    }
    friend bool operator==(const Coverage&, const Coverage&) = default;

  private:
    using Place = std::pair<const dmcore::BlockDevice*, std::uint64_t>;

    void change(const dmcore::BlockDevice& device, std::uint64_t sector, long by) {
        const auto [found, is_new] = changes_.try_emplace({&device, sector}, 0);
        if ((found->second += by) == 0) changes_.erase(found);
    }

    std::map<Place, long> changes_;  // Of how often, from there on.
};

/// A store of any size that does nothing but take notes. Ends every bio well, at once.
class Recorder final : public dmcore::BlockDevice {
  public:
    struct Seen {
        const Recorder* store;
        dmcore::Op op;
        std::uint64_t sector;
        std::uint64_t sectors;
        const std::byte* data;  // Of the first segment left.
        bool asked;             // By whoever submitted to the device above.
    };

    Recorder(std::string name, const dmcore::Limits& limits, std::vector<Seen>& notes)
        : name_(std::move(name)), limits_(limits), notes_(notes) {}

    void submit(dmcore::Bio& bio) noexcept override {
        const std::byte* data = nullptr;
        if (dmcore::has_data(bio.op)) data = bio.segments[bio.iter.segment].data + bio.iter.done;
        notes_.push_back(
            {this, bio.op, bio.iter.sector, bio.iter.sectors(), data, bio.origin != nullptr});
        bio.end();
    }
    const dmcore::Limits& limits() const noexcept override { return limits_; }
    const std::string& name() const noexcept override { return name_; }

  private:
    std::string name_;
    dmcore::Limits limits_;
    std::vector<Seen>& notes_;
};

}  // namespace fuzz
