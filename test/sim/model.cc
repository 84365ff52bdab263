#include "sim/model.h"

#include <algorithm>
#include <cstdio>

namespace sim {

constexpr std::uint16_t no_request = 0xffff;
constexpr std::size_t purge_at = 6;  // Writes of one place: fewer are not worth the look.

Model::Model(const Trace& trace, unsigned disks, std::uint32_t sectors_per_disk)
    : trace_(trace),
      sectors_per_disk_(sectors_per_disk),
      places_(std::size_t{disks} * sectors_per_disk) {
    for (auto& writes : places_) {
        writes.reserve(purge_at + 2);
        writes.push_back({0, 0, 1, 1, 0, no_request, 0, {}, 0, false});  // Disks begin as zeroes.
    }
}

void Model::begin(Place place, std::uint64_t value, unsigned request, unsigned index, Entry entry) {
    auto& writes = places_[place];
    if (writes.size() >= purge_at) purge(writes, disk_of(place));
    writes.push_back({value, trace_.now(), 0, 0, 0, static_cast<std::uint16_t>(request),
                      static_cast<std::uint16_t>(index), entry, 0, false});
}

void Model::end(Place place, unsigned request, Moment began, bool sure, bool fua) {
    auto& writes = places_[place];
    for (Write& each : writes) {
        if (each.request == request && each.end == 0) each.end = each.really_ended = trace_.now();
    }
    if (!sure) return;
    for (const Write& each : writes) {
        if (each.request == request && each.end == trace_.now())
            kill_older(writes, each, began, fua);
    }
}

void Model::kill_older(std::vector<Write>& writes, const Write& killer, Moment began,
                       bool fua) const {
    for (Write& each : writes) {
        if (each.request == killer.request && each.end == trace_.now()) continue;
        const Moment ended = each.entry == killer.entry ? each.end : each.really_ended;
        if (ended == 0 || ended >= began) continue;
        if (each.dead_at == 0) {
            each.dead_at = trace_.now();
            each.killer = static_cast<std::uint8_t>(killer.entry.device);
        }
        each.dead_durably |= fua;
    }
}

void Model::died(Place place, unsigned request) {
    for (Write& each : places_[place]) {
        if (each.request == request && each.end == 0) each.end = trace_.now();
    }
}

void Model::gone(Place place, unsigned request) {
    for (Write& each : places_[place]) {
        if (each.request == request && each.really_ended == 0) each.really_ended = trace_.now();
    }
}

bool Model::legal(Place place, std::uint64_t value, Moment read_began) const noexcept {
    const auto& writes = places_[place];
    return std::any_of(writes.begin(), writes.end(), [&](const Write& each) {
        return each.value == value && (each.dead_at == 0 || each.dead_at > read_began);
    });
}

bool Model::durably_dead(const Write& write, unsigned disk) const noexcept {
    return write.dead_at != 0 && (write.dead_durably || write.dead_at < flushed_[disk] ||
                                  write.dead_at < flushed_via_[write.killer][disk]);
}

bool Model::survives(Place place, std::uint64_t value) const noexcept {
    const auto& writes = places_[place];
    return std::any_of(writes.begin(), writes.end(), [&](const Write& each) {
        return each.value == value && !durably_dead(each, disk_of(place));
    });
}

void Model::flushed(unsigned device, std::uint32_t reach, Moment began) noexcept {
    for (unsigned disk = 0; disk < disks_max; ++disk) {
        if ((reach >> disk & 1) != 0) flushed_[disk] = std::max(flushed_[disk], began);
        flushed_via_[device][disk] = std::max(flushed_via_[device][disk], began);
    }
}

void Model::pin(Place place, std::uint64_t value) {
    auto& writes = places_[place];
    const Moment now = trace_.now();
    for (Write& each : writes) {
        if (each.really_ended == 0) continue;
        if (each.dead_at == 0) each.dead_at = now;
        each.dead_durably = true;
    }
    writes.push_back({value, now, now, now, 0, no_request, 0, {}, 0, false});
}

void Model::purge(std::vector<Write>& writes, unsigned disk) const {
    std::erase_if(writes, [&](const Write& each) {
        return each.dead_at != 0 && each.dead_at < oldest_ && each.really_ended != 0 &&
               durably_dead(each, disk);
    });
}

void Model::print(Place place) const noexcept {
    std::fprintf(stderr, "disk %u sector %u:\n", disk_of(place), place % sectors_per_disk_);
    for (const Write& each : places_[place]) {
        std::fprintf(
            stderr,
            "  value %#llx of request %u[%u] by sector %u of d%u: began %u, answered %u, gone %u, "
            "dead since %u%s\n",
            static_cast<unsigned long long>(each.value), each.request, each.index,
            each.entry.sector, each.entry.device, each.start, each.end, each.really_ended,
            each.dead_at, durably_dead(each, disk_of(place)) ? " for good" : "");
    }
}

}  // namespace sim
