#include "dmcore/table.h"

#include <algorithm>
#include <numeric>

#include "dmcore/random.h"

namespace dmcore {
namespace {

[[noreturn]] void fail_row(std::size_t row, TableError::Part part, std::string slug,
                           std::string message, std::string help = {}) {
    TableError error(std::move(slug), std::move(message), TableError::none, std::move(help));
    error.row = static_cast<int>(row);
    error.part = part;
    throw error;
}

std::string range_text(std::uint64_t from, std::uint64_t to) {
    return std::to_string(from) + ".." + std::to_string(to - 1);
}

void check_start(const RowSpec& row, std::size_t index, std::uint64_t expected) {
    if (row.start_sector > expected) {
        fail_row(index, TableError::Part::start, "table-gap",
                 "no target for sectors " + range_text(expected, row.start_sector),
                 "leave 'start' out to continue where the last segment ended");
    }
    if (row.start_sector < expected) {
        fail_row(index, TableError::Part::start, "table-overlap",
                 "sectors " + range_text(row.start_sector, expected) +
                     " already have a target in the segment above",
                 "leave 'start' out to continue where the last segment ended");
    }
}

/// In sectors, the largest of what the row stands on.
std::uint64_t row_block(const Table::Row& row) {
    std::uint32_t bytes = sector_bytes;
    row.target->each_area([&](const Lower& below, std::uint64_t, std::uint64_t) {
        bytes = std::max(bytes, below.limits.logical_block_bytes);
    });
    return bytes / sector_bytes;
}

}  // namespace

void check_rows(const std::vector<RowSpec>& rows) {
    if (rows.empty()) throw TableError("empty-table", "a table needs at least one segment");
    if (rows.size() > table_rows_max) {
        throw TableError("too-many-rows",
                         "a table has at most " + std::to_string(table_rows_max) + " segments");
    }
    std::uint64_t expected = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const RowSpec& row = rows[i];
        check_start(row, i, expected);
        if (row.sectors == 0) {
            fail_row(i, TableError::Part::length, "zero-length",
                     "a segment needs at least 1 sector");
        }
        if (row.sectors > table_sectors_max - row.start_sector) {
            fail_row(i, TableError::Part::length, "too-long",
                     "a device ends at sector " + std::to_string(table_sectors_max) + " at most");
        }
        expected = row.start_sector + row.sectors;
    }
}

Table::Table(std::shared_ptr<TableShared> shared, unsigned lane, Agenda& agenda, Clock& clock,
             const FindDevice& find)
    : shared_(std::move(shared)) {
    check_rows(shared_->rows);
    shared_->row_state.resize(shared_->rows.size());
    rows_.reserve(shared_->rows.size());
    for (std::size_t i = 0; i < shared_->rows.size(); ++i) {
        try {
            add_row(i, lane, agenda, clock, find);
        } catch (TableError& error) {
            error.row = static_cast<int>(i);
            throw;
        }
    }
    stack_limits();
    check_blocks();
    index_rows();
}

void Table::add_row(std::size_t index, unsigned lane, Agenda& agenda, Clock& clock,
                    const FindDevice& find) {
    const RowSpec& spec = shared_->rows[index];
    const TargetType* type = find_target_type(spec.target);
    if (type == nullptr) {
        fail_row(index, TableError::Part::target, "unknown-target",
                 "there is no target '" + spec.target + "'", "dmnbd targets lists them all");
    }
    TargetArgs args(spec.words,
                    [&](const std::string& name) -> Lower& { return lower(name, find); });
    args.start_sector = spec.start_sector;
    args.sectors = spec.sectors;
    args.device_name = shared_->device_name;
    args.clock = &clock;
    args.agenda = &agenda;
    args.loaded_at = shared_->loaded_at;
    args.seed = mixed_seed(shared_->seed, index, lane);
    args.faults = &faults_;
    args.shared = &shared_->row_state[index];
    rows_.push_back({spec.start_sector, spec.sectors, type, type->make(args)});
    const bool known = std::any_of(kinds_.begin(), kinds_.end(),
                                   [&](std::size_t first) { return rows_[first].type == type; });
    if (!known) kinds_.push_back(index);
    flush_bypass_ = flush_bypass_ && rows_.back().target->traits().flush_bypass;
    check_areas(rows_.back());
}

Lower& Table::lower(const std::string& name, const FindDevice& find) {
    const auto known = std::find_if(lowers_.begin(), lowers_.end(),
                                    [&](const Lower& each) { return each.device->name() == name; });
    if (known != lowers_.end()) return *known;
    const Lower found = find(name);
    if (found.device == nullptr) {
        throw TableError("unknown-device", "there is no store or device '" + name + "'");
    }
    return lowers_.emplace_back(found);
}

void Table::check_areas(const Row& row) {
    row.target->each_area([&](const Lower& below, std::uint64_t start, std::uint64_t sectors) {
        const Limits& limits = below.limits;
        const std::uint64_t size = limits.size_sectors;
        const std::string name = "'" + below.device->name() + "'";
        if (start >= size || sectors > size - start) {  // [T-9]
            throw TableError("past-end", name + " has " + std::to_string(size) +
                                             " sectors, this segment needs it up to " +
                                             std::to_string(start + sectors));
        }
        const std::uint64_t block = limits.logical_block_bytes / sector_bytes;
        if (start % block != 0 || sectors % block != 0) {  // [T-10]
            throw TableError("misaligned", name + " has blocks of " + std::to_string(block) +
                                               " sectors; start and length must be multiples");
        }
        declared_.insert(&below);
        if (row.target->flushes(below)) flushed_.insert(below.device);
    });
}

void Table::restack() {
    for (Lower& below : lowers_) below.limits = below.device->limits();
    stack_limits();
}

void Table::stack_limits() {
    limits_ = {};
    limits_.size_sectors = sectors();
    limits_.discard = limits_.fast_zero = true;
    for (const Lower* below : declared_) {
        const Limits& one = below->limits;
        limits_.logical_block_bytes =
            std::max(limits_.logical_block_bytes, one.logical_block_bytes);
        limits_.io_min_bytes = std::max(limits_.io_min_bytes, one.io_min_bytes);
        limits_.write_cache |= one.write_cache;  // [L-6]
        limits_.read_only |= one.read_only;
        limits_.fast_zero &= one.fast_zero;
        if (one.io_opt_bytes != 0) {
            const std::uint64_t both =
                limits_.io_opt_bytes == 0
                    ? one.io_opt_bytes
                    : std::lcm<std::uint64_t>(limits_.io_opt_bytes, one.io_opt_bytes);
            limits_.io_opt_bytes = both > UINT32_MAX ? 0 : static_cast<std::uint32_t>(both);
        }
    }
    const bool all_below = std::all_of(declared_.begin(), declared_.end(),
                                       [](const Lower* below) { return below->limits.discard; });
    for (const Row& row : rows_) {  // [L-30]
        const Traits& traits = row.target->traits();
        limits_.discard &= traits.discard_clones > 0 && (traits.promises_discard || all_below);
        limits_.fast_zero &= traits.write_zeroes_clones > 0;
        row.target->adjust_limits(limits_);
    }
}

/// A block of the whole device may be cut into rows only where all of them can do its pieces, and
/// the last one is whole [T-11].
void Table::check_blocks() const {
    const std::uint64_t block = limits_.logical_block_bytes / sector_bytes;
    if (block == 1) return;
    const auto refuse = [&](std::size_t row) {
        fail_row(row, TableError::Part::length, "misaligned",
                 "this device has blocks of " + std::to_string(block) +
                     " sectors, as one below has; rows may not cut them here");
    };
    std::uint64_t missing = 0;  // Of a block that the rows before have begun.
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        if (missing < rows_[i].sectors && missing % row_block(rows_[i]) != 0) refuse(i);
        missing = (block - rows_[i].end() % block) % block;
    }
    if (missing != 0) refuse(rows_.size() - 1);
}

void Table::index_rows() {
    const std::uint64_t last_sector = sectors() - 1;
    while (last_sector >> slice_shift_ >= rows_.size()) ++slice_shift_;
    slices_.reserve((last_sector >> slice_shift_) + 1);
    std::uint32_t row = 0;
    const auto row_of = [&](std::uint64_t sector) {
        while (rows_[row].end() <= sector) ++row;
        return row;
    };
    for (std::uint64_t i = 0; i <= last_sector >> slice_shift_; ++i) {
        const std::uint32_t first = row_of(i << slice_shift_);
        slices_.push_back({first, row_of(std::min(((i + 1) << slice_shift_) - 1, last_sector))});
    }
}

/// Of many rows of one length, the usual large table, a slice is one row: then nothing is searched,
/// and memory that is in no cache is waited for twice, not twenty times.
Table::Row& Table::search(Slice slice, std::uint64_t sector) noexcept {
    const auto first = rows_.begin() + slice.first;
    const auto after = std::upper_bound(
        first + 1, rows_.begin() + slice.last + 1, sector,
        [](std::uint64_t wanted, const Row& row) { return wanted < row.start_sector; });
    return *(after - 1);
}

std::string Table::table_text(TextForm form) const {
    std::string text;
    for (const Row& row : rows_) {
        text += std::to_string(row.start_sector) + ' ' + std::to_string(row.sectors) + ' ' +
                std::string(row.type->name) + ' ' + row.target->table_text(form) + '\n';
    }
    return text;
}

std::string Table::status_text() const {
    std::string text;
    for (const Row& row : rows_) {
        text += std::to_string(row.start_sector) + ' ' + std::to_string(row.sectors) + ' ' +
                std::string(row.type->name) + ' ' + row.target->status_text() + '\n';
    }
    return text;
}

}  // namespace dmcore
