#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "config/load.h"
#include "server/live.h"
#include "server/live_config.h"

namespace server {

class Companion;
class PassedSockets;
class Running;

/// What the command line says instead of a table file.
struct Overrides {
    std::vector<config::ListenSpec> listen;  // Empty: the file's.
    std::optional<std::uint64_t> seed;
    std::optional<unsigned> shards;
    std::string control_path;                     // Empty: the file's.
    std::shared_ptr<const PassedSockets> passed;  // Besides what else is listened on. May be null.
};
/// A table file as it is served.
void apply_overrides(config::Spec& spec, const Overrides& overrides);

/// The table file of a running server: reads it again when it changes, and takes others that are
/// sent to the control API. Any thread but the shards'.
class Configuration final : public LiveConfig {
  public:
    /// `path`: the table file that is live now; empty: there is none. `companion` may be null. Both
    /// are borrowed.
    Configuration(Running& running, std::string path, Overrides overrides, Companion* companion);

    /// What the table file and those it includes are now.
    std::vector<std::string> files() const;
    /// Makes the table file live if any of them has other bytes than when it was last read.
    void look_for_changes();
    /// Makes the table file live. Both say in the log what came of it, and if nothing did, why.
    void reload();
    /// Calls `tell`, with true before each of these reloads and with false behind it. To be set
    /// before the first.
    void on_reload(std::function<void(bool begins)> tell) { tell_reload_ = std::move(tell); }
    /// Is the file watched? As of the last one that went live.
    bool watches() const;

    Live live() override;
    Reloads reloads() override;
    Checked check(const Sent& sent) override;
    std::vector<config::Change> plan(const Sent& sent) override;
    Applied apply(const Sent& sent, const ApplyOptions& options) override;

  private:
    using Texts = std::map<std::string, std::string>;  // By path.

    void reload_file();
    std::optional<config::Spec> read_file(config::Diagnostics& found);
    std::optional<config::Spec> read(const Sent& sent, config::Diagnostics& found);
    config::Spec read_good(const Sent& sent);
    std::optional<std::string> forbids(const std::string& path);
    Applied apply(const config::Spec& spec, const ApplyOptions& options);
    config::Spec read_to_apply(const Sent& sent);
    BadTable refused(config::Diagnostics found);
    void ended(bool successful, const std::string& message);

    Running& running_;
    const std::string path_;
    const Overrides overrides_;
    std::function<void(bool)> tell_reload_ = [](bool) {};
    Companion* const companion_;
    mutable std::mutex mutex_;  // Guards the rest.
    Reloads reloads_;
    Texts texts_;  // Of the table file, its includes, and its TLS files when they were last read.
};

}  // namespace server
