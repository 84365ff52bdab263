#include <algorithm>
#include <optional>

#include "config/arguments.h"
#include "config/checks.h"
#include "config/values.h"
#include "dmcore/registry.h"

namespace config {
namespace {

using Part = dmcore::TableError::Part;

/// Walks the rows of one device from sector 0 on.
class RowCheck {
  public:
    RowCheck(Checking& checking, DeviceSpec& device)
        : checking_(checking),
          device_(device),
          what_("device " + in_quotes(device.name)),
          is_text_(device.place.segments.empty()) {}

    bool run() {
        const std::size_t errors_before = checking_.found.errors();
        if (device_.rows.empty()) return false;  // Reported when it was read.
        bool known = true;
        for (row_ = 0; row_ < device_.rows.size() && known; ++row_) {
            known = check_row();
            if (checking_.found.errors() > errors_before + Diagnostics::errors_max) break;
        }
        device_.size_sectors = expected_;
        return known && !has_bad_row_ && checking_.found.errors() == errors_before;
    }

  private:
    void fail(Part part, Report report, int word = dmcore::TableError::none) {
        checking_.found.error(device_.place.of(static_cast<int>(row_), word, part),
                              std::move(report));
    }

    const SegmentPlace* segment() const {
        return is_text_ ? nullptr : &device_.place.segments[row_];
    }

    /// False if the rest can't be judged, because nobody knows where this row ends.
    bool check_row() {
        dmcore::RowSpec& row = device_.rows[row_];
        const auto* type = dmcore::find_target_type(row.target);
        has_bad_row_ = has_bad_row_ || type == nullptr;  // Reported when it was read.
        const bool start_given = is_text_ || segment()->start.written();
        const bool length_given = is_text_ || segment()->length.written();
        if (!start_given) row.start_sector = expected_;
        check_start(row);
        if (length_given && row.sectors == 0) {
            fail(Part::length, {"zero-length", what_ + ": a segment needs at least 1 sector",
                                "expected more than 0", "remove the segment"});
            return false;
        }
        if (type == nullptr && !length_given) return false;
        const Legs legs = type == nullptr ? Legs() : find_legs(*type, row.words);
        if (!length_given && !find_length(row, legs)) return false;
        const auto end = checked_add(row.start_sector, row.sectors);
        if (!end || *end > dmcore::table_sectors_max) {
            fail(length_given ? Part::length : Part::start,
                 {"too-long",
                  what_ + " would end past sector " + std::to_string(dmcore::table_sectors_max),
                  {},
                  "that is the largest size a device can have"});
            return false;
        }
        expected_ = *end;
        if (type != nullptr && !type->args.empty()) check_ends(row, legs, length_given);
        return true;
    }

    std::string sectors(std::uint64_t count) const {
        return is_text_ ? std::to_string(count) : count == 0 ? "0" : sectors_text(count);
    }

    void check_start(const dmcore::RowSpec& row) {
        if (row.start_sector == expected_) return;
        const bool gap = row.start_sector > expected_;
        const std::uint64_t from = std::min(row.start_sector, expected_);
        const std::uint64_t to = std::max(row.start_sector, expected_);
        const std::string range = std::to_string(from) + ".." + std::to_string(to - 1) + " (" +
                                  sectors_text(to - from) + ")";
        const std::string line_above = is_text_ ? "line" : "segment";
        Report report{
            gap ? "table-gap" : "table-overlap",
            what_ + (gap ? " has no target for sectors " : " has two targets for sectors ") + range,
            "expected " + sectors(expected_) + ", the end of the " + line_above + " above",
            is_text_ ? "each line begins where the one above ends"
                     : "leave 'start' out to continue where the last segment ended"};
        if (row_ == 0) {
            report.label = "expected 0, the first sector";
        } else {
            report.above = device_.place.of(static_cast<int>(row_) - 1, dmcore::TableError::none,
                                            is_text_ ? Part::start : Part::target);
        }
        fail(Part::start, std::move(report));
    }

    /// Null if what the leg names is not known to be good.
    const dmcore::Limits* below(const dmcore::RowSpec& row, const Leg& leg) const {
        const auto found = checking_.limits.find(row.words[leg.word]);
        return found == checking_.limits.end() ? nullptr : &found->second;
    }

    /// A length that was left out is all there is below; of several legs, as much of each as of the
    /// smallest, in whole chunks.
    bool find_length(dmcore::RowSpec& row, const Legs& legs) {
        if (legs.list.empty()) {
            fail(Part::target, {"length-missing",
                                what_ + ": target " + in_quotes(row.target) +
                                    " has no device to take its length from",
                                {},
                                "give the segment a length"});
            return false;
        }
        std::uint64_t smallest = UINT64_MAX;
        for (const Leg& leg : legs.list) {
            if (!leg.carries_row) continue;
            const dmcore::Limits* limits = below(row, leg);
            if (limits == nullptr) return false;
            const std::uint64_t offset = leg.offset_sectors.value_or(UINT64_MAX);
            if (offset >= limits->size_sectors) {
                begins_past_end(row, leg, limits->size_sectors);
                return false;
            }
            smallest = std::min(smallest, limits->size_sectors - offset);
        }
        const std::uint64_t chunk = std::max<std::uint64_t>(1, legs.chunk_sectors);
        const std::uint64_t each = smallest / legs.shares / chunk * chunk;
        if (each == 0) {
            fail(Part::args, {"too-small",
                              what_ +
                                  ": the smallest of the devices is less than one "
                                  "chunk of " +
                                  sectors_text(chunk),
                              {},
                              "make the chunk smaller"});
            return false;
        }
        row.sectors =
            checked_multiply(each, legs.striped ? legs.list.size() : 1).value_or(UINT64_MAX);
        return true;
    }

    void begins_past_end(const dmcore::RowSpec& row, const Leg& leg, std::uint64_t size) {
        const int word = static_cast<int>(leg.word + 1);
        if (!leg.offset_sectors) {
            fail(Part::args,
                 {"bad-number",
                  what_ + ": offset " + in_quotes(row.words[leg.word + 1]) +
                      " is not a number of sectors",
                  {},
                  "write decimal digits only"},
                 word);
            return;
        }
        fail(Part::args,
             {"past-end",
              in_quotes(row.words[leg.word]) + " is " + sectors_text(size) +
                  ", this segment begins at " + sectors_text(*leg.offset_sectors),
              "expected less than " + sectors(size),
              {}},
             word);
    }

    void check_ends(const dmcore::RowSpec& row, const Legs& legs, bool length_given) {
        const std::uint64_t share = legs.striped ? legs.list.size() : 1;
        for (const Leg& leg : legs.list) {
            const dmcore::Limits* limits = below(row, leg);
            if (limits == nullptr) {
                has_bad_row_ = true;  // What it names has errors of its own.
                continue;
            }
            if (!leg.carries_row || !leg.offset_sectors) continue;  // Its target says so, better.
            const std::uint64_t size = limits->size_sectors;
            const auto end = checked_add(*leg.offset_sectors, row.sectors / share);
            if (end && *end <= size) continue;
            if (*leg.offset_sectors >= size) {
                begins_past_end(row, leg, size);
                continue;
            }
            const std::uint64_t room = (size - *leg.offset_sectors) * share;
            fail(length_given ? Part::length : Part::args,
                 {"past-end",
                  in_quotes(row.words[leg.word]) + " is " + sectors_text(size) +
                      ", this segment needs it up to " +
                      (end ? sectors_text(*end) : "more than 2^64 sectors"),
                  "expected at most " + sectors(room),
                  is_text_ ? "" : "leave 'length' out to take all there is"},
                 static_cast<int>(leg.word));
        }
    }

    Checking& checking_;
    DeviceSpec& device_;
    std::string what_;
    bool is_text_;
    std::size_t row_ = 0;
    std::uint64_t expected_ = 0;
    bool has_bad_row_ = false;
};

}  // namespace

bool complete_rows(Checking& checking, DeviceSpec& device) {
    return RowCheck(checking, device).run();
}

}  // namespace config
