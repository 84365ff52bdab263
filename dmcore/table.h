#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dmcore/registry.h"
#include "dmcore/target.h"

namespace dmcore {

inline constexpr std::size_t table_rows_max = 1'048'576;              // [T-3]
inline constexpr std::uint64_t table_sectors_max = (1ULL << 54) - 1;  // [T-2]

/// One row of a table as loaded: what every lane builds its own Table from.
struct RowSpec {
    std::uint64_t start_sector = 0;
    std::uint64_t sectors = 0;
    std::string target;
    std::vector<std::string> words;

    friend bool operator==(const RowSpec&, const RowSpec&) = default;
};

/// What is the same for every lane's copy of one loaded table.
struct TableShared {
    std::vector<RowSpec> rows;
    std::string device_name;
    std::vector<std::string> below;                // Names of what the rows stand on, each once.
    Time loaded_at{};                              // Of all lanes' clocks [F-9].
    std::uint64_t seed = 0;                        // Of this device.
    std::vector<std::shared_ptr<void>> row_state;  // What the targets of a row share [O-9].
};

/// The rows of one mapped device on one lane. Built once, then only read but for the targets' own
/// state and the counters in `lowers`.
class Table {
  public:
    struct Row {
        std::uint64_t start_sector;
        std::uint64_t sectors;
        const TargetType* type;
        std::unique_ptr<Target> target;

        std::uint64_t end() const noexcept { return start_sector + sectors; }
    };
    /// Finds a device of the lane's shard by name; without a device: there is none.
    using FindDevice = std::function<Lower(const std::string& name)>;

    /// Builds all rows for lane number `lane`. Throws TableError for the first thing wrong, by the
    /// rules of dm-semantics 6.1 to 6.7; everything is validated here, not at resume [D-4]. May be
    /// made, and destroyed unless it is live, on any thread: it only notes what belongs to the
    /// shard.
    Table(std::shared_ptr<TableShared> shared, unsigned lane, Agenda& agenda, Clock& clock,
          const FindDevice& find);
    Table(const Table&) = delete;  // Targets count in it.
    Table& operator=(const Table&) = delete;

    std::uint64_t sectors() const noexcept { return rows_.back().end(); }

    /// The row that holds `sector`; null past the end.
    Row* find(std::uint64_t sector) noexcept {
        if (sector >= sectors()) return nullptr;
        const Slice slice = slices_[sector >> slice_shift_];
        return slice.first == slice.last ? &rows_[slice.first] : &search(slice, sector);
    }

    std::vector<Row>& rows() noexcept { return rows_; }
    const std::vector<Row>& rows() const noexcept { return rows_; }
    /// The first row of each kind of target, by its index, in the order of the table.
    const std::vector<std::size_t>& kinds() const noexcept { return kinds_; }
    /// Every device below, once each, in the order of first use.
    std::deque<Lower>& lowers() noexcept { return lowers_; }
    const std::deque<Lower>& lowers() const noexcept { return lowers_; }

    const Limits& limits() const noexcept { return limits_; }
    /// Takes up the limits of the devices below as they are now. On the shard.
    void restack();
    /// A flush goes once to each device below instead of through the targets [L-23].
    bool flush_bypass() const noexcept { return flush_bypass_; }
    /// Does a flush of this table reach the device?
    bool flushes(const BlockDevice& device) const { return flushed_.contains(&device); }
    const TableShared& shared() const noexcept { return *shared_; }
    /// What its targets have done on purpose.
    const FaultCounts& faults() const noexcept { return faults_; }

    /// One line a row, `<start> <sectors> <type> <args>`, as dmsetup prints it.
    std::string table_text(TextForm form = TextForm::dm) const;
    std::string status_text() const;

  private:
    /// The rows that hold the first and the last sector of one piece of 2^slice_shift_ sectors.
    struct Slice {
        std::uint32_t first, last;
    };

    void add_row(std::size_t index, unsigned lane, Agenda& agenda, Clock& clock,
                 const FindDevice& find);
    Lower& lower(const std::string& name, const FindDevice& find);
    void check_areas(const Row& row);
    void stack_limits();
    void check_blocks() const;
    void index_rows();
    Row& search(Slice slice, std::uint64_t sector) noexcept;

    std::shared_ptr<TableShared> shared_;
    std::deque<Lower> lowers_;
    FaultCounts faults_;
    std::vector<Row> rows_;
    std::vector<Slice> slices_;  // For find(): at most as many as rows.
    unsigned slice_shift_ = 0;
    std::vector<std::size_t> kinds_;
    std::set<const Lower*> declared_;  // Devices of which a row declares an area [T-9].
    std::set<const BlockDevice*> flushed_;
    Limits limits_;
    bool flush_bypass_ = true;
};

/// Throws TableError unless the rows follow one another from 0 without gap or overlap
/// [T-1]...[T-3].
void check_rows(const std::vector<RowSpec>& rows);

}  // namespace dmcore
