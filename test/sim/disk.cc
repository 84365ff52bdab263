#include "sim/disk.h"

namespace sim {

Disk::Disk(unsigned number, std::uint32_t sectors, dmcore::Random& random, Watcher& watcher)
    : number_(number),
      name_("p" + std::to_string(number)),
      watcher_(watcher),
      now_(sectors),
      durable_(sectors),
      cached_(sectors) {
    limits_.size_sectors = sectors;
    limits_.discard = random.below(4) != 0;
    limits_.write_cache = random.below(4) != 0;
}

void Disk::write(std::uint32_t sector, std::uint64_t value, bool fua) {
    now_[sector] = value;
    auto& cached = cached_[sector];
    ++writes_;
    if (fua || !limits_.write_cache) {
        durable_[sector] = value;
        if (cached.empty()) return;
        cached.clear();
        std::erase(dirty_, sector);
        return;
    }
    if (cached.empty()) dirty_.push_back(sector);
    cached.push_back({value, writes_});
}

void Disk::flush(std::uint64_t covers) {
    std::size_t kept = 0;
    for (const std::uint32_t sector : dirty_) {
        auto& cached = cached_[sector];
        std::size_t done = 0;
        while (done < cached.size() && cached[done].order <= covers) ++done;
        if (done > 0) durable_[sector] = cached[done - 1].value;
        cached.erase(cached.begin(), cached.begin() + static_cast<std::ptrdiff_t>(done));
        if (!cached.empty()) dirty_[kept++] = sector;
    }
    dirty_.resize(kept);
}

void Disk::crash(dmcore::Random& random) {
    for (const std::uint32_t sector : dirty_) {
        auto& cached = cached_[sector];
        const std::uint64_t pick = random.below(cached.size() + 1);
        if (pick < cached.size()) durable_[sector] = cached[pick].value;
        now_[sector] = durable_[sector];
        cached.clear();
    }
    dirty_.clear();
    sync_failed = false;
}

}  // namespace sim
