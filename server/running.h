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
#include "server/event_bell.h"
#include "server/live.h"
#include "server/live_config.h"
#include "server/net/listener.h"
#include "server/net/shards.h"
#include "server/ownership.h"
#include "server/state.h"
#include "server/stores/threads.h"

namespace server {

class Companion;
class PassedSockets;

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

/// A table file, being served: stores, devices, exports, listeners, and the threads that run them.
/// Made, drained and destroyed on one thread; Live's calls and apply() may come from any other but
/// a shard's.
class Running final : public Live {
  public:
    /// Opens everything; nobody is served yet. Throws StartError, and then nothing is left behind.
    /// Where one of `passed` listens already, nothing is bound; may be null.
    Running(const config::Spec& spec, std::uint64_t seed, unsigned shard_count,
            std::shared_ptr<const PassedSockets> passed = nullptr);
    ~Running() override;

    /// Binds every address, then accepts on all of them. Throws StartError.
    void listen(const std::vector<config::ListenSpec>& addresses);
    std::vector<std::string> uris() const;

    /// Makes `wanted` live, all or nothing; `companion` changes with it, and may be null. One at a
    /// time: others wait. Throws BadTable and ReloadError.
    Applied apply(const config::Spec& wanted, const ApplyOptions& options,
                  Companion* companion = nullptr);
    /// What that would change, with what it means for clients.
    std::vector<config::Change> plan(const config::Spec& wanted);
    /// What is live, tables that were loaded by hand included.
    config::Spec live_spec();
    /// Rises with every change of what is live.
    std::uint64_t generation() const noexcept { return generation_; }

    /// Ends every step and call that waits, and refuses more: to be called before drain().
    void end_steps();

    /// How long clients have to leave, as the table file says now.
    std::chrono::nanoseconds drain_time() const { return state()->spec.reload.drain; }

    /// Stops accepting, answers what is in flight for up to `drain`, ends the rest, lets the
    /// targets write what they still have, and makes every store durable.
    Drained drain(std::chrono::milliseconds drain);

    std::vector<StoreInfo> stores() override;
    std::vector<DeviceInfo> devices() override;
    std::vector<ServedExport> exports() override;
    std::vector<std::string> listening() override;
    std::vector<ClientInfo> clients() override;
    MemoryInfo memory() override;
    bool drop_client(std::uint64_t id) override;
    std::optional<std::string> table_text(const std::string& device, dmcore::TextForm form,
                                          Slot slot) override;
    std::optional<std::string> table_yaml(const std::string& device) override;
    std::optional<std::string> status_text(const std::string& device, Slot slot) override;
    std::uint64_t wait_event(const std::string& device, std::uint64_t seen,
                             std::chrono::steady_clock::time_point until) override;
    EventFeed& feed() override { return feed_; }
    void load(const std::string& device, const config::TableText& table) override;
    void clear(const std::string& device) override;
    void suspend(const std::string& device, bool noflush) override;
    void resume(const std::string& device, bool noflush) override;
    std::string message(const std::string& device, std::uint64_t sector,
                        const std::vector<std::string>& words) override;
    std::vector<HealthPart> startup_health() override;
    std::vector<HealthPart> ready_health() override;
    std::vector<HealthPart> live_health() override;

    // For Reload, while it holds apply():

    std::shared_ptr<const State> state() const;
    Shards& shards() noexcept { return shards_; }
    Ownership& ownership() noexcept { return *ownership_; }
    const std::shared_ptr<FileThreads>& file_threads() const noexcept { return file_threads_; }
    std::uint64_t seed() const noexcept { return seed_; }
    bool stopping() const { return events_.ended(); }
    /// Without a table yet.
    std::shared_ptr<Device> make_device(const config::DeviceSpec& spec);
    std::unique_ptr<Listener> make_listener(const config::ListenSpec& spec);
    std::vector<std::unique_ptr<Listener>>& listeners() noexcept { return listeners_; }
    void run_on_control(const std::function<void()>& what);
    void run_on_shard(unsigned shard, const std::function<void()>& what);
    /// Makes it what is asked for and what clients can open.
    void go_on_with(std::shared_ptr<const State> next);
    /// Disconnects these clients, by shard, once `drain` has passed; what they have in flight is
    /// answered. Not those that may stay after all by then.
    void see_off(std::vector<std::pair<unsigned, std::weak_ptr<Connection>>> leaving,
                 std::chrono::nanoseconds drain);

  private:
    void end();
    void leave_all();
    void set_state(std::shared_ptr<const State> next);
    std::shared_ptr<Device> known(const std::string& device) const;
    std::vector<config::Standing> standing(const State& state);
    void refuse_if_stopping() const;
    void restack(const std::function<void()>& then);
    void take_step(const std::string& device,
                   const std::function<void(DeviceSteps&, DeviceSteps::Done)>& step);
    bool wait_for_clients(std::chrono::steady_clock::time_point until);
    DeviceInfo describe(const State& state, Device& device);
    static std::uint32_t open_count(const State& state, const Device& device);
    std::map<std::string, unsigned> waiting_clients();
    std::optional<std::string> ask_table(
        const std::string& device, Slot slot,
        const std::function<std::string(const dmcore::Table&)>& ask);

    void tell_client(const Connection& connection, const char* state);

    std::uint64_t seed_;
    EventFeed feed_;
    asio::io_context control_;
    asio::executor_work_guard<asio::io_context::executor_type> control_work_;
    Shards shards_;
    const std::shared_ptr<const PassedSockets> passed_;
    const std::shared_ptr<FileThreads> file_threads_;
    std::unique_ptr<Ownership> ownership_;
    EventBell events_;     // Rung when a device's event number has changed, or a device has gone.
    std::mutex changing_;  // One load or reload at a time: each is judged by the others.
    mutable std::mutex state_mutex_;
    std::shared_ptr<const State> state_ = std::make_shared<State>();
    std::atomic<std::uint64_t> generation_{0};
    std::vector<std::unique_ptr<Listener>> listeners_;  // Of the control thread.
    std::atomic<bool> listening_{false};
    std::thread control_thread_;
};

}  // namespace server
