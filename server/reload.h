#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "dmcore/joint_swap.h"
#include "server/live_config.h"
#include "server/net/listener.h"
#include "server/state.h"

namespace server {

class Running;

/// Something outside of Running that changes with the table file as well.
class Companion {
  public:
    virtual ~Companion() = default;
    /// Does all that may fail, and throws ReloadError if it did. Nothing may change yet.
    virtual void prepare(const config::Spec& wanted) = 0;
    virtual void commit() noexcept = 0;
    virtual void undo() noexcept = 0;
};

/// One change of the table file, all or nothing over all its devices [O-7]. In its order: plan,
/// open new stores, build all tables, bind new addresses, judge what clients would lose, suspend;
/// up to here everything can be taken back, and what is slow is behind us. Then swap, resume, let
/// the old things go. Used once, by one thread, while nobody else changes anything.
class Reload {
  public:
    /// `companion` may be null.
    Reload(Running& running, const config::Spec& wanted, const ApplyOptions& options,
           Companion* companion);

    /// Throws BadTable and ReloadError; then nothing has changed.
    Applied run();

  private:
    using Then = dmcore::MappedDevice::Then;
    using Time = std::chrono::steady_clock::time_point;

    // reload_refuse.cc: what is refused because somebody would lose something.
    void refuse_lost_data() const;
    void refuse_broken_inactive() const;
    void refuse_broken_promises() const;

    // reload.cc
    void prepare();
    void open_stores();
    std::shared_ptr<OpenStore> open_store(const config::StoreSpec& spec);
    void make_devices();
    void build_tables();
    void make_exports();
    void load_credentials();
    void bind_listeners();
    bool needs_table(const config::DeviceSpec& spec, Device& device) const;
    dmcore::TableSet build(const config::DeviceSpec& spec) const;
    void suspend();
    void undo() noexcept;
    void commit();
    void change_options();
    void change_listeners();
    void see_off_clients();
    void ask(const std::function<void(Then)>& step);
    void await(std::future<void>& done, Time until) const;
    [[noreturn]] void fail_suspend() const;

    Running& running_;
    config::Spec wanted_;
    const ApplyOptions options_;
    Companion* companion_;
    std::shared_ptr<const State> live_;
    config::Spec live_spec_;
    std::vector<config::Change> changes_;

    std::shared_ptr<State> next_ = std::make_shared<State>();
    std::vector<std::shared_ptr<OpenStore>> opened_;  // Here, of files not open before.
    std::vector<std::shared_ptr<Device>> parts_;      // That get a new table.
    std::vector<std::shared_ptr<Device>> all_;        // For joint_.
    std::unique_ptr<dmcore::JointSwap> joint_;        // Null: nothing to swap.
    std::vector<std::unique_ptr<Listener>> bound_;
    bool held_ = false;
    bool suspending_ = false;
    bool companion_ready_ = false;
    Time paused_at_{};
    std::chrono::nanoseconds pause_{};
};

}  // namespace server
