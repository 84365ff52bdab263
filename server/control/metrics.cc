#include "server/control/metrics.h"

namespace server::control {
namespace {

using Names = nbd::RequestCounts;  // Its first words are those of dmcore::Op, in that order.

/// The families of one scrape, all of the same moment.
class Metrics {
  public:
    Metrics(Live& live, LiveConfig* config)
        : devices_(live.devices()),
          exports_(live.exports()),
          stores_(live.stores()),
          memory_(live.memory()),
          config_(config) {}

    std::string text() {
        out_.begin("dmnbd_build_info", "gauge", "What runs; always 1.");
        out_.put({{"version", DMNBD_VERSION}}, 1);
        if (config_ != nullptr) configuration();
        memory();
        exports();
        operations();
        queues();
        states();
        faults();
        out_.begin("dmnbd_store_errors_total", "counter", "I/O that the store could not do.");
        for (const StoreInfo& store : stores_) {
            out_.put({{"store", store.name}}, static_cast<double>(store.errors));
        }
        links();
        put_process_metrics(out_);
        return out_.take();
    }

  private:
    void configuration() {
        const LiveConfig::Reloads reloads = config_->reloads();
        out_.begin("dmnbd_config_generation", "gauge", "Rises with every change of what is live.");
        out_.put({}, static_cast<double>(reloads.generation));
        out_.begin("dmnbd_config_last_reload_successful", "gauge", "Did the last reload go well?");
        out_.put({}, reloads.last_successful ? 1 : 0);
        out_.begin("dmnbd_config_last_reload_success_timestamp_seconds", "gauge",
                   "When the last good reload ended, or the start.");
        out_.put({}, in_seconds(reloads.last_success.time_since_epoch()));
        out_.begin("dmnbd_config_reloads_total", "counter", "Reloads, by how they ended.");
        out_.put({{"result", "success"}}, static_cast<double>(reloads.successes));
        out_.put({{"result", "failure"}}, static_cast<double>(reloads.failures));
    }

    void memory() {
        out_.begin("dmnbd_connections", "gauge", "Clients, those that negotiate included.");
        out_.put({}, static_cast<double>(memory_.connections));
        out_.begin("dmnbd_buffer_bytes", "gauge", "Memory for data of requests and replies, now.");
        out_.put({}, static_cast<double>(memory_.buffer_bytes));
        out_.begin("dmnbd_memory_budget_bytes", "gauge",
                   "What clients can make the server take, beside what stores and tables hold.");
        out_.put({}, static_cast<double>(memory_.budget_bytes));
    }

    template <class Value>
    void each_export_op(Value value) {
        for (const ServedExport& one : exports_) {
            for (std::size_t op = 0; op < Names::ops.size(); ++op) {
                value(Exposition::Labels{{"export", one.name}, {"op", std::string(Names::ops[op])}},
                      one.requests.by_op[op]);
            }
        }
    }

    void exports() {
        using Op = Names::Op;
        out_.begin("dmnbd_export_connections", "gauge", "Clients that use the export.");
        for (const ServedExport& one : exports_) {
            out_.put({{"export", one.name}}, one.connections);
        }
        out_.begin("dmnbd_export_requests_total", "counter", "Requests that were answered.");
        each_export_op([&](const Exposition::Labels& labels, const Op& op) {
            out_.put(labels, static_cast<double>(op.durations.count()));
        });
        out_.begin("dmnbd_export_errors_total", "counter", "Those that were answered with errno.");
        each_export_op([&](Exposition::Labels labels, const Op& op) {
            labels.emplace_back("errno", "");
            for (std::size_t error = 0; error < Names::errors.size(); ++error) {
                if (op.failed[error] == 0) continue;
                labels.back().second = Names::error_names[error];
                out_.put(labels, static_cast<double>(op.failed[error]));
            }
        });
        out_.begin("dmnbd_export_request_duration_seconds", "histogram",
                   "From a request's header to its reply, to a turn of its shard.");
        each_export_op([&](const Exposition::Labels& labels, const Op& op) {
            out_.put(labels, op.durations);
        });
    }

    template <class Value>
    void each_op(Value value, std::string_view suffix = {}) {
        for (const DeviceInfo& device : devices_) {
            for (std::size_t op = 0; op < dmcore::op_count; ++op) {
                out_.put({{"device", device.name}, {"op", std::string(Names::ops[op])}},
                         value(device.stats.ops[op]), suffix);
            }
        }
    }

    void operations() {
        using dmcore::OpStats;
        out_.begin("dmnbd_device_ios_total", "counter", "Parts that have ended.");
        each_op([](const OpStats& op) { return static_cast<double>(op.ios); });
        out_.begin("dmnbd_device_bytes_total", "counter", "Bytes of those parts.");
        each_op([](const OpStats& op) {
            return static_cast<double>(op.sectors * dmcore::sector_bytes);
        });
        out_.begin("dmnbd_device_io_duration_seconds", "summary",
                   "How long those parts took, from their making to their end.");
        each_op([](const OpStats& op) { return in_seconds(op.time); }, "_sum");
        each_op([](const OpStats& op) { return static_cast<double>(op.ios); }, "_count");
        out_.begin("dmnbd_device_inflight", "gauge",
                   "Parts below the device; write: all but read.");
        for (const DeviceInfo& device : devices_) {
            const auto& stats = device.stats;
            out_.put({{"device", device.name}, {"op", "read"}},
                     static_cast<double>(stats.reads_in_flight));
            out_.put({{"device", device.name}, {"op", "write"}},
                     static_cast<double>(stats.writes_in_flight));
        }
    }

    template <class Value>
    void each_device(std::string_view name, const char* type, std::string_view help, Value value) {
        out_.begin(name, type, help);
        for (const DeviceInfo& device : devices_) {
            out_.put({{"device", device.name}}, static_cast<double>(value(device)));
        }
    }

    using QueueCount = std::pair<std::string_view, std::uint64_t dmcore::DeviceStats::*>;
    void each_queue(std::initializer_list<QueueCount> queues) {
        for (const DeviceInfo& device : devices_) {
            for (const auto& [queue, count] : queues) {
                out_.put({{"device", device.name}, {"queue", std::string(queue)}},
                         static_cast<double>(device.stats.*count));
            }
        }
    }

    /// Stage one is worked off in the turn that fills it: its depth is always 0.
    void queues() {
        using dmcore::DeviceStats;
        each_device("dmnbd_device_splits_total", "counter", "Extra parts made from one request.",
                    [](const DeviceInfo& device) { return device.stats.splits; });
        out_.begin("dmnbd_device_queue_depth", "gauge", "Parts that wait now.");
        each_queue({{"deferred", &DeviceStats::deferred},
                    {"retry", &DeviceStats::waiting_retry},
                    {"overlap", &DeviceStats::waiting_overlap}});
        out_.begin("dmnbd_device_requeues_total", "counter",
                   "Parts put into the requeue list, and those put back to be run again.");
        each_queue({{"requeue", &DeviceStats::stage_one}, {"deferred", &DeviceStats::stage_two}});
        each_device("dmnbd_device_retries_total", "counter", "Parts issued again.",
                    [](const DeviceInfo& device) { return device.stats.retried; });
        each_device("dmnbd_device_retries_exhausted_total", "counter",
                    "Parts whose retries were spent.",
                    [](const DeviceInfo& device) { return device.stats.retries_exhausted; });
    }

    void states() {
        each_device("dmnbd_device_suspended", "gauge", "Is the device suspended?",
                    [](const DeviceInfo& device) { return device.suspended ? 1 : 0; });
        each_device("dmnbd_device_events_total", "counter", "Tables that went live.",
                    [](const DeviceInfo& device) { return device.event_number; });
    }

    void links() {
        out_.begin("dmnbd_store_connected", "gauge", "Does the remote of the store answer?");
        for (const StoreInfo& store : stores_) {
            if (store.link) out_.put({{"store", store.name}}, store.link->connected ? 1 : 0);
        }
        out_.begin("dmnbd_store_reconnects_total", "counter",
                   "Connections to the remote that took the place of a lost one.");
        for (const StoreInfo& store : stores_) {
            if (!store.link) continue;
            out_.put({{"store", store.name}}, static_cast<double>(store.link->reconnects));
        }
    }

    void faults() {
        out_.begin("dmnbd_faults_injected_total", "counter", "What targets did wrong on purpose.");
        for (const DeviceInfo& device : devices_) {
            for (std::size_t kind = 0; kind < dmcore::fault_names.size(); ++kind) {
                out_.put(
                    {{"device", device.name}, {"kind", std::string(dmcore::fault_names[kind])}},
                    static_cast<double>(device.stats.faults.counts[kind]));
            }
        }
        out_.begin("dmnbd_flakey_up", "gauge", "Does the flakey device behave now?");
        for (const DeviceInfo& device : devices_) {
            if (device.flakey_up) out_.put({{"device", device.name}}, *device.flakey_up ? 1 : 0);
        }
    }

    const std::vector<DeviceInfo> devices_;
    const std::vector<ServedExport> exports_;
    const std::vector<StoreInfo> stores_;
    const MemoryInfo memory_;
    LiveConfig* config_;
    Exposition out_;
};

}  // namespace

std::string metrics_text(Live& live, LiveConfig* config) {
    return Metrics(live, config).text();
}

}  // namespace server::control
