#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "config/spec.h"
#include "dmcore/mapped_device.h"
#include "server/exports.h"
#include "server/live.h"
#include "server/net/listener.h"
#include "server/net/shards.h"
#include "server/stores/threads.h"

namespace server {

/// What could not be opened or bound, told for people. `exit_code` as in user-experience 1.
struct StartError : std::runtime_error {
    StartError(const std::string& what, int code) : std::runtime_error(what), exit_code(code) {}
    int exit_code;
};

/// How a server ended.
enum class Drained : std::uint8_t {
    clean,
    not_durable,  // A store failed its last sync.
    stuck,        // Something is still in a store's hands; don't wait for it.
};

/// One table file, being served: stores, devices, exports, listeners, and the threads that run
/// them. Made, drained and destroyed on one thread; Live's calls may come from any other.
class Running final : public Live {
  public:
    /// Opens everything; nobody is served yet. Throws StartError, and then nothing is left behind.
    Running(const config::Spec& spec, std::uint64_t seed, unsigned shard_count);
    ~Running() override;

    /// Binds every address, then accepts on all of them. Throws StartError.
    void listen(const std::vector<config::ListenSpec>& addresses);
    std::vector<std::string> uris() const;

    /// dm's own steps on one device, each done when this returns. The names are known ones. load()
    /// throws dmcore::TableError, and then changes nothing.
    void load(const std::string& device, const std::vector<dmcore::RowSpec>& rows);
    void suspend(const std::string& device, bool noflush);
    void resume(const std::string& device);

    /// Stops accepting, answers what is in flight for up to `drain`, ends the rest, and makes every
    /// store durable.
    Drained drain(std::chrono::milliseconds drain);

    std::vector<StoreInfo> stores() override;
    std::vector<DeviceInfo> devices() override;
    std::vector<ServedExport> exports() override;
    std::optional<std::string> table_text(const std::string& device,
                                          dmcore::TextForm form) override;
    std::optional<std::string> status_text(const std::string& device) override;
    std::vector<HealthPart> startup_health() override;
    std::vector<HealthPart> ready_health() override;
    std::vector<HealthPart> live_health() override;

  private:
    /// One store as every shard sees it.
    struct Store {
        config::StoreSpec spec;
        std::shared_ptr<FileStore> file;  // Null for memory.
        std::vector<std::unique_ptr<dmcore::BlockDevice>> fronts;
    };

    void open_store(const config::StoreSpec& spec);
    void open_device(const config::DeviceSpec& spec);
    dmcore::TableSet build(const config::DeviceSpec& spec);
    dmcore::BlockDevice* find(const std::string& name, unsigned shard);
    dmcore::MappedDevice* find_device(const std::string& name);
    void run_on_control(const std::function<void()>& what);
    bool wait_for_clients(std::chrono::steady_clock::time_point until);
    DeviceInfo describe(dmcore::MappedDevice& device);
    std::uint32_t open_count(const std::string& device) const;
    std::optional<std::string> ask_table(const std::string& device,
                                         std::string (*ask)(const dmcore::Table&));

    config::Spec spec_;
    std::uint64_t seed_;
    asio::io_context control_;
    asio::executor_work_guard<asio::io_context::executor_type> control_work_;
    Shards shards_;
    std::vector<Store> stores_;
    std::vector<std::unique_ptr<dmcore::MappedDevice>> devices_;  // What is below comes first.
    std::shared_ptr<const ExportTable> exports_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::atomic<bool> listening_{false};
    std::thread control_thread_;
};

}  // namespace server
