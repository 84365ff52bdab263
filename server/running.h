#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/spec.h"
#include "dmcore/mapped_device.h"
#include "server/device_steps.h"
#include "server/event_bell.h"
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

    /// Ends every step and call that waits, and refuses more: to be called before drain().
    void end_steps();

    /// Stops accepting, answers what is in flight for up to `drain`, ends the rest, lets the
    /// targets write what they still have, and makes every store durable.
    Drained drain(std::chrono::milliseconds drain);

    std::vector<StoreInfo> stores() override;
    std::vector<DeviceInfo> devices() override;
    std::vector<ServedExport> exports() override;
    std::vector<ClientInfo> clients() override;
    bool drop_client(std::uint64_t id) override;
    std::optional<std::string> table_text(const std::string& device, dmcore::TextForm form,
                                          Slot slot) override;
    std::optional<std::string> status_text(const std::string& device, Slot slot) override;
    std::uint64_t wait_event(const std::string& device, std::uint64_t seen,
                             std::chrono::steady_clock::time_point until) override;
    void load(const std::string& device, const config::TableText& table) override;
    void clear(const std::string& device) override;
    void suspend(const std::string& device, bool noflush) override;
    void resume(const std::string& device, bool noflush) override;
    std::string message(const std::string& device, std::uint64_t sector,
                        const std::vector<std::string>& words) override;
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
    const config::DeviceSpec& known(const std::string& device) const;
    std::vector<config::Standing> standing();
    void refuse_if_stopping() const;
    void take_step(const std::string& device,
                   const std::function<void(DeviceSteps&, DeviceSteps::Done)>& step);
    void run_on_control(const std::function<void()>& what);
    void run_on_shard(unsigned shard, const std::function<void()>& what);
    bool retire_devices(std::chrono::steady_clock::time_point until);
    bool wait_for_clients(std::chrono::steady_clock::time_point until);
    DeviceInfo describe(dmcore::MappedDevice& device);
    std::uint32_t open_count(const std::string& device) const;
    std::optional<std::string> ask_table(
        const std::string& device, Slot slot,
        const std::function<std::string(const dmcore::Table&)>& ask);

    config::Spec spec_;
    std::uint64_t seed_;
    asio::io_context control_;
    asio::executor_work_guard<asio::io_context::executor_type> control_work_;
    Shards shards_;
    std::vector<Store> stores_;
    std::vector<std::unique_ptr<dmcore::MappedDevice>>
        devices_;                               // Made in the order of the file's build_order.
    std::map<std::string, DeviceSteps> steps_;  // Used on the control thread, once all are there.
    EventBell events_;                          // Rung when a device's event number has changed.
    std::mutex loading_;                        // One load at a time: each is judged by the others.
    std::shared_ptr<const ExportTable> exports_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::atomic<bool> listening_{false};
    std::thread control_thread_;
};

}  // namespace server
