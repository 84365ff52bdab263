#include <algorithm>
#include <unordered_map>

#include "config/answer_times.h"
#include "config/checks.h"
#include "config/values.h"
#include "dmcore/status.h"

namespace config {
namespace {

/// flakey fails I/O unless its features only drop or corrupt it, or it is never down; dust if it
/// begins with bad blocks that are enabled.
bool injects_errors(const dmcore::RowSpec& row) {
    if (row.target == "dust") {
        const auto has = [&](const char* word) { return std::ranges::count(row.words, word) > 0; };
        return has("enabled") && has("bad_blocks");
    }
    constexpr std::size_t down = 3;
    constexpr std::size_t features = 4;
    if (row.target != "flakey" || row.words.size() <= down || row.words[down] == "0") return false;
    if (row.words.size() <= features || row.words[features] == "0") return true;
    return std::any_of(row.words.begin() + features, row.words.end(), [](const std::string& word) {
        return word == "error_reads" || word == "error_writes";
    });
}

/// The longest that delay holds I/O of this row before it goes down.
dmcore::Time held_for(const dmcore::RowSpec& row) {
    dmcore::Time longest{};
    if (row.target != "delay") return longest;
    for (std::size_t i = 2; i < row.words.size(); i += 3) {
        const auto ms = parse_count(row.words[i], UINT32_MAX);
        if (ms) longest = std::max<dmcore::Time>(longest, std::chrono::milliseconds(*ms));
    }
    return longest;
}

/// What is worked out for each device, from the lowest up.
struct Summary {
    const DeviceSpec* injector = nullptr;  // Itself or the first one below that injects errors.
    dmcore::Time wait{};                   // The longest that a request may take to fail.
};

/// The longest time that a device adds: its deadline runs from the first failure, and the last
/// attempt may begin just before it ends.
dmcore::Time longest_wait(const dmcore::RetryPolicy& retry, dmcore::Time below) {
    if (retry.errors == dmcore::StatusSet() || retry.attempts == 0) return below;
    dmcore::Time spent{};
    double delay = static_cast<double>(retry.delay.count());
    for (std::uint32_t i = 0; i < retry.attempts && spent < retry.deadline; ++i) {
        const auto max = static_cast<double>(retry.max_delay.count());
        if (i > 0) {  // The first retry is at once.
            spent += dmcore::Time(static_cast<std::int64_t>(std::min(delay, max)));
            delay = std::min(delay * retry.backoff, max);
        }
        spent += below;
        const bool unbounded = retry.attempts == dmcore::RetryPolicy::unlimited;
        if (unbounded || i > 100'000) spent = retry.deadline;
    }
    return std::min(spent, retry.deadline) + below;
}

/// Of each device by name, from the lowest up.
class Summaries {
  public:
    explicit Summaries(const Spec& spec) : spec_(spec) {
        for (const std::size_t index : spec.build_order) {
            const DeviceSpec& device = spec.devices[index];
            all_.emplace(device.name, summary_of(device));
        }
    }
    const Summary& at(std::string_view device) const { return all_.at(device); }

  private:
    Summary summary_of(const DeviceSpec& device) const {
        Summary summary;
        dmcore::Time reconnect{};  // What a store bounds itself, beside the policy.
        for (const std::string& name : device.below) {
            const StoreSpec* store = spec_.find_store(name);
            if (store != nullptr && !store->uri.empty()) {
                reconnect = std::max(reconnect, store->reconnect);
            }
            const auto below = all_.find(name);
            if (below == all_.end()) continue;  // A store.
            summary.wait = std::max(summary.wait, below->second.wait);
            if (summary.injector == nullptr) summary.injector = below->second.injector;
        }
        const bool injects = std::any_of(device.rows.begin(), device.rows.end(), injects_errors);
        if (injects) summary.injector = &device;
        dmcore::Time held{};
        for (const dmcore::RowSpec& row : device.rows) held = std::max(held, held_for(row));
        summary.wait += held;
        // Without a store below or a policy of its own there is nothing transient to wait for.
        const bool can_wait = !device.below.empty() || device.retry_position.written();
        if (can_wait) summary.wait = longest_wait(device.retry, summary.wait);
        if (device.retry.errors.has(dmcore::Status::disconnected)) summary.wait += reconnect;
        return summary;
    }

    const Spec& spec_;
    std::unordered_map<std::string_view, Summary> all_;
};

class Warnings {
  public:
    explicit Warnings(Checking& checking) : checking_(checking), summaries_(checking.spec) {}

    void hidden_faults() const {
        for (const DeviceSpec& device : checking_.spec.devices) {
            const DeviceSpec* injector = summaries_.at(device.name).injector;
            const bool retries = device.retry.errors.has(dmcore::Status::io_error);
            if (!retries || injector == nullptr) continue;
            checking_.found.warning(
                device.retry_position,
                {"hidden-fault",
                 in_quotes(device.name) +
                     " retries EIO, so clients will see stalls, not the errors that " +
                     in_quotes(injector->name) + " injects",
                 {},
                 "leave EIO out of 'errors' if clients are meant to see them"});
        }
    }

    void client_timeouts() const {
        for (const ExportSpec& one : checking_.spec.exports) {
            const dmcore::Time wait = summaries_.at(one.device).wait;
            if (wait == dmcore::Time()) continue;
            checking_.found.note(one.position, {"client-timeout",
                                                export_subject(one.name) + " may take up to " +
                                                    duration_text(wait) + " to answer",
                                                {},
                                                "give its clients a longer timeout than that"});
        }
    }

  private:
    Checking& checking_;
    Summaries summaries_;
};

}  // namespace

void warn(Checking& checking) {
    const Warnings warnings(checking);
    warnings.hidden_faults();
    warnings.client_timeouts();
}

std::unordered_map<std::string, dmcore::Time> answer_times(const Spec& spec) {
    const Summaries summaries(spec);
    std::unordered_map<std::string, dmcore::Time> times;
    for (const DeviceSpec& device : spec.devices) {
        times.emplace(device.name, summaries.at(device.name).wait);
    }
    return times;
}

}  // namespace config
