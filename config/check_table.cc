#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "config/checks.h"
#include "dmcore/agenda.h"
#include "dmcore/table.h"

namespace config {
namespace {

/// Stands for a store or device that is not open. Nothing is ever submitted to it.
class Placeholder final : public dmcore::BlockDevice {
  public:
    Placeholder(std::string name, const dmcore::Limits& limits)
        : name_(std::move(name)), limits_(limits) {}

    void submit(dmcore::Bio& bio) noexcept override {
        bio.fail({.status = dmcore::Status::io_error}, bio.iter.sector);
    }
    const dmcore::Limits& limits() const noexcept override { return limits_; }
    const std::string& name() const noexcept override { return name_; }

  private:
    std::string name_;
    dmcore::Limits limits_;
};

/// For targets that want a clock while they are made; it never strikes.
class StoppedClock final : public dmcore::Clock {
  public:
    dmcore::Time now() const noexcept override { return {}; }
    void arm(dmcore::Timer&, dmcore::Time) noexcept override {}
    void disarm(dmcore::Timer&) noexcept override {}
};

class TableTrial {
  public:
    TableTrial(Checking& checking, DeviceSpec& device)
        : checking_(checking), device_(device), shared_(std::make_shared<dmcore::TableShared>()) {
        for (const std::string& name : device.below) {
            const auto limits = checking.limits.find(name);
            if (limits != checking.limits.end()) below_.emplace_back(name, limits->second);
        }
        shared_->device_name = device.name;
    }

    /// A table stops at its first error. To find the others, the row that failed makes way for a
    /// row that can't, and the table is built again.
    void run() {
        std::vector<std::pair<std::size_t, dmcore::RowSpec>> failed;
        shared_->rows = std::move(device_.rows);
        while (failed.size() < Diagnostics::errors_max) {
            const auto row = first_error();
            if (!row) break;
            dmcore::RowSpec& spec = shared_->rows[*row];
            failed.emplace_back(*row, spec);
            spec = {spec.start_sector, spec.sectors, "zero", {}};
            if (shared_->rows.size() > cheap_rows) break;
        }
        for (auto& [row, spec] : failed) shared_->rows[row] = std::move(spec);
        device_.rows = std::move(shared_->rows);
    }

  private:
    static constexpr std::size_t cheap_rows = 10'000;  // To build once more.

    /// The row of the first error, which is reported; nothing if there is none, or no row to blame.
    std::optional<std::size_t> first_error() {
        try {
            const dmcore::Table table(shared_, 0, agenda_, clock_,
                                      [&](const std::string& name) { return find(name); });
            if (checking_.found.errors() == errors_before_) accept(table.limits());
        } catch (const dmcore::TableError& error) {
            report(error);
            if (error.row >= 0) return static_cast<std::size_t>(error.row);
        }
        return std::nullopt;
    }

    dmcore::BlockDevice* find(const std::string& name) {
        for (Placeholder& one : below_) {
            if (one.name() == name) return &one;
        }
        return nullptr;
    }

    void report(const dmcore::TableError& error) {
        // A length that suits no stripes is the length's fault, and says so without a name.
        const bool length = error.slug == "stripe-size";
        auto part = error.part;
        const auto row = static_cast<std::size_t>(error.row);
        const auto& segments = device_.place.segments;
        const bool written = row >= segments.size() || segments[row].length.written();
        if (length && written) part = dmcore::TableError::Part::length;
        const std::string what = length ? "" : "device " + in_quotes(device_.name) + ": ";
        checking_.found.error(device_.place.of(error.row, error.word, part),
                              {error.slug, what + error.message, {}, error.help});
    }

    void accept(dmcore::Limits limits) {
        limits.size_sectors = device_.size_sectors;
        limits.read_only = device_.read_only;
        limits.logical_block_bytes = std::max(limits.logical_block_bytes, device_.block_bytes);
        device_.limits = limits;
        checking_.limits.emplace(device_.name, limits);
    }

    Checking& checking_;
    DeviceSpec& device_;
    std::shared_ptr<dmcore::TableShared> shared_;
    std::deque<Placeholder> below_;
    dmcore::Agenda agenda_;
    StoppedClock clock_;
    std::size_t errors_before_ = checking_.found.errors();
};

}  // namespace

void try_table(Checking& checking, DeviceSpec& device) {
    TableTrial(checking, device).run();
}

}  // namespace config
