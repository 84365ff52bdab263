#include "sim/stacks.h"

#include <algorithm>
#include <cstdio>

namespace sim {
namespace {

constexpr std::uint32_t row_sectors_max = 200;

constexpr const char* kind_names[] = {"linear",    "striped", "flakey", "delay",
                                      "unstriped", "zero",    "error"};
constexpr const char* feature_words[] = {"0", "1 error_reads", "1 drop_writes", "1 error_writes"};

std::string name_of(const Below& below) {
    return (below.device ? "d" : "p") + std::to_string(below.number);
}

void add_words(std::vector<std::string>& words, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(' ', at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end + 1;
    }
}

std::string words_of(const Row& row) {
    std::string text;
    if (row.kind == Row::striped) {
        text = std::to_string(row.legs.size()) + ' ' + std::to_string(row.chunk);
    } else if (row.kind == Row::unstriped) {
        text = std::to_string(row.stripes) + ' ' + std::to_string(row.chunk) + ' ' +
               std::to_string(row.stripe);
    }
    for (const Row::Leg& leg : row.legs) {
        text += (text.empty() ? "" : " ") + name_of(leg.below) + ' ' + std::to_string(leg.offset);
    }
    if (row.kind == Row::flakey) {
        text += ' ' + std::to_string(row.up_ms) + "ms " + std::to_string(row.down_ms) + "ms " +
                feature_words[row.feature];
    } else if (row.kind == Row::delay) {
        text += ' ' + std::to_string(row.up_ms);
    }
    return text;
}

}  // namespace

Stacks::Stacks(dmcore::Random& random, unsigned disks, std::uint32_t sectors_per_disk,
               bool error_rows)
    : random_(random),
      disks_(disks),
      sectors_per_disk_(sectors_per_disk),
      spicy_(random.below(3) == 0),
      small_chunks_(random.below(3) == 0),
      error_rows_(error_rows) {}

std::uint32_t Stacks::size_of(const Below& below) const noexcept {
    return below.device ? sectors(below.number) : sectors_per_disk_;
}

/// Finds something below with that much room that no other row of this table uses.
bool Stacks::take_room(unsigned device, Row::Leg& leg, std::uint32_t sectors) {
    for (int tries = 0; tries < 4; ++tries) {
        const bool on_device = device > 0 && random_.below(4) != 0;
        const unsigned pick = static_cast<unsigned>(random_.below(on_device ? device : disks_));
        const unsigned number = on_device && random_.below(2) == 0 ? device - 1 : pick;
        leg.below = {on_device, number};
        std::uint32_t& used = used_[on_device ? disks_ + number : number];
        const std::uint32_t size = size_of(leg.below);
        const auto gap = static_cast<std::uint32_t>(random_.below(8));
        const std::uint32_t from = random_.below(2) == 0 ? used : used + gap;
        if (from + sectors > size) continue;
        leg.offset = from;
        used = from + sectors;
        return true;
    }
    return false;
}

bool Stacks::random_row(unsigned device, Row& row) {
    const std::uint64_t dice = random_.below(24);
    row.sectors = 1 + static_cast<std::uint32_t>(random_.below(row_sectors_max));
    row.legs.assign(1, {});
    if (spicy_ && dice < (error_rows_ ? 2 : 1)) {
        row.kind = dice == 0 ? Row::zero : Row::error;
        row.legs.clear();
        return true;
    }
    row.kind = dice < 10   ? Row::linear
               : dice < 19 ? Row::striped
               : dice < 22 ? Row::flakey
               : dice < 23 ? Row::delay
                           : Row::unstriped;
    if (row.kind == Row::striped) {
        const std::uint64_t legs = 1 + random_.below(3);
        row.chunk = 1 + static_cast<std::uint32_t>(random_.below(small_chunks_ ? 3 : 24));
        const auto lines =
            static_cast<std::uint32_t>(1 + random_.below(row_sectors_max / row.chunk / legs + 1));
        row.legs.assign(legs, {});
        row.sectors = static_cast<std::uint32_t>(legs) * row.chunk * lines;
        return std::all_of(row.legs.begin(), row.legs.end(), [&](Row::Leg& leg) {
            return take_room(device, leg, row.chunk * lines);
        });
    }
    if (row.kind == Row::unstriped) {
        row.stripes = 2 + static_cast<std::uint32_t>(random_.below(2));
        row.stripe = static_cast<std::uint32_t>(random_.below(row.stripes));
        row.chunk = 1 + static_cast<std::uint32_t>(random_.below(16));
        const auto lines = static_cast<std::uint32_t>(1 + random_.below(8));
        row.sectors = row.chunk * lines;
        return take_room(device, row.legs[0], row.sectors * row.stripes);
    }
    if (row.kind == Row::flakey) {
        row.up_ms = 20 + static_cast<std::uint32_t>(random_.below(200));
        row.down_ms = spicy_ ? 5 + static_cast<std::uint32_t>(random_.below(40)) : 0;
        row.feature = static_cast<Row::Feature>(random_.below(4));
    }
    if (row.kind == Row::delay) row.up_ms = static_cast<std::uint32_t>(random_.below(15));
    return take_room(device, row.legs[0], row.sectors);
}

Rows Stacks::random_table(unsigned device) {
    used_.assign(disks_ + device, 0);
    for (std::uint32_t& used : used_) used = static_cast<std::uint32_t>(random_.below(16));
    Rows rows;
    std::uint32_t size = 0;
    const std::uint64_t most = device < 3 ? 5 : 2;  // A flush visits all rows of all levels.
    for (std::uint64_t left = 1 + random_.below(most); left > 0; --left) {
        Row row{};
        if (!random_row(device, row)) continue;
        row.start = size;
        size += row.sectors;
        rows.push_back(std::move(row));
    }
    if (rows.empty())
        rows.push_back({.kind = Row::linear, .sectors = 16, .legs = {{{false, 0}, 0}}});
    return rows;
}

Rows Stacks::other_cuts(unsigned device) {
    Rows cut;
    for (const Row& row : uncut_[device]) {
        const bool striped = row.kind == Row::striped;
        const bool whole = row.kind == Row::unstriped || row.misbehaves();
        const auto unit = striped ? row.chunk * static_cast<std::uint32_t>(row.legs.size()) : 1U;
        for (std::uint32_t done = 0; done < row.sectors;) {
            const std::uint32_t left = row.sectors - done;
            std::uint32_t take = left;
            if (!whole && random_.below(2) == 0) {
                take = unit * (1 + static_cast<std::uint32_t>(random_.below(left / unit)));
            }
            Row part = row;
            part.start = row.start + done;
            part.sectors = take;
            for (Row::Leg& leg : part.legs) leg.offset += striped ? done / unit * row.chunk : done;
            cut.push_back(part);
            done += take;
        }
    }
    return cut;
}

Rows Stacks::shrunk(unsigned device) {
    Rows rows = uncut_[device];
    if (rows.size() > 1) rows.resize(1 + random_.below(rows.size() - 1));
    return rows;
}

std::vector<dmcore::RowSpec> Stacks::specs(const Rows& rows) {
    std::vector<dmcore::RowSpec> specs;
    for (const Row& row : rows) {
        dmcore::RowSpec& spec = specs.emplace_back();
        spec.start_sector = row.start;
        spec.sectors = row.sectors;
        spec.target = kind_names[row.kind];
        add_words(spec.words, words_of(row));
    }
    return specs;
}

std::uint32_t Stacks::used_sectors(const Row& row) noexcept {
    if (row.kind == Row::striped) return row.sectors / static_cast<std::uint32_t>(row.legs.size());
    return row.kind == Row::unstriped ? row.sectors * row.stripes : row.sectors;
}

void Stacks::add(const Rows& rows) {
    live_.push_back(rows);
    uncut_.push_back(rows);
    flush_clones_.push_back(0);
    spots_.emplace_back();
    reach_.push_back(0);
    below_.push_back(0);
    work_out(count() - 1);
}

void Stacks::print(unsigned device) const {
    for (const dmcore::RowSpec& row : specs(live_[device])) {
        std::fprintf(stderr, "d%u: %llu %llu %s", device,
                     static_cast<unsigned long long>(row.start_sector),
                     static_cast<unsigned long long>(row.sectors), row.target.c_str());
        for (const std::string& word : row.words) std::fprintf(stderr, " %s", word.c_str());
        std::fputc('\n', stderr);
    }
}

void Stacks::set(unsigned device, const Rows& rows, bool other_cuts) {
    live_[device] = rows;
    if (!other_cuts) uncut_[device] = rows;
    for (unsigned each = device; each < count(); ++each) {
        if (each == device || (below_[each] >> device & 1) != 0) work_out(each);
    }
}

Spot Stacks::spot_below(const Row::Leg& leg, std::uint64_t sector) const noexcept {
    if (leg.below.device) return spot(leg.below.number, static_cast<std::uint32_t>(sector));
    return {static_cast<Place>(leg.below.number * sectors_per_disk_ + sector), false, false};
}

Spot Stacks::spot_of(const Row& row, std::uint32_t offset) const noexcept {
    if (row.kind == Row::zero) return {reads_zeroes, false, false};
    if (row.kind == Row::error) return {fails, false, true};
    std::size_t leg = 0;
    std::uint64_t sector = offset;
    if (row.kind == Row::striped) {
        const std::uint32_t chunk = offset / row.chunk;
        leg = chunk % row.legs.size();
        sector = chunk / row.legs.size() * row.chunk + offset % row.chunk;
    } else if (row.kind == Row::unstriped) {
        sector += std::uint64_t{offset / row.chunk} * (row.stripes - 1) * row.chunk +
                  row.stripe * row.chunk;
    }
    Spot found = spot_below(row.legs[leg], row.legs[leg].offset + sector);
    found.lossy |= row.lossy();
    found.may_fail |= row.misbehaves() && row.feature != Row::drop_writes;
    return found;
}

/// [L-22], [L-23], as a set of disks.
std::uint32_t Stacks::reach_of(const Row& row) const noexcept {
    std::uint32_t reach = 0;
    if (row.lossy()) return reach;
    for (const Row::Leg& leg : row.legs) {
        reach |= leg.below.device ? reach_[leg.below.number] : 1U << leg.below.number;
    }
    return reach;
}

void Stacks::work_out(unsigned device) {
    const Rows& rows = live_[device];
    std::vector<Spot>& spots = spots_[device];
    spots.clear();
    reach_[device] = flush_clones_[device] = 0;
    below_[device] = 1U << device;
    for (const Row& row : rows) {
        for (const Row::Leg& leg : row.legs) {
            if (leg.below.device) had_parents_ |= 1U << leg.below.number;
        }
    }
    for (const Row& row : rows) {
        for (std::uint32_t i = 0; i < row.sectors; ++i) spots.push_back(spot_of(row, i));
        reach_[device] |= reach_of(row);
        for (const Row::Leg& leg : row.legs) {
            const std::uint64_t below = leg.below.device ? flush_clones_[leg.below.number] : 1;
            flush_clones_[device] = static_cast<std::uint32_t>(
                std::min<std::uint64_t>(UINT32_MAX, flush_clones_[device] + below));
        }
        ever_lossy_ |= row.lossy();
        ever_failing_ |= row.misbehaves();
        for (const Row::Leg& leg : row.legs) {
            if (!leg.below.device) continue;
            below_[device] |= below_[leg.below.number];
        }
    }
}

}  // namespace sim
