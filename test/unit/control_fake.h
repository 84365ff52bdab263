#pragma once

#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "server/live.h"

/// The stack of the manual's examples, as the control API would find it.
struct FakeLive : server::Live {
    std::atomic<bool> well = true;

    std::vector<server::StoreInfo> stores() override {
        return {{"ram0", "memory", "", 1048576, 0},
                {"img0", "file", "disk0.img", 1048576, 3},
                {"far", "nbd", "nbd://10.0.0.7:10809/vol1", 1048576, 0}};
    }

    std::vector<server::DeviceInfo> devices() override {
        server::DeviceInfo joined;
        joined.name = "joined";
        joined.live_table = true;
        joined.open_count = 1;
        joined.targets = 2;
        joined.size_sectors = 2097152;
        joined.target_types = {"linear"};
        joined.below = {"ram0", "img0"};
        server::DeviceInfo flaky = joined;
        flaky.name = "flaky";
        flaky.open_count = 3;
        flaky.targets = 1;
        flaky.event_number = 7;
        flaky.target_types = {"flakey"};
        flaky.state = "up, 6.4s left";
        flaky.below = {"joined"};
        flaky.stats.ops[0] = {.ios = 5, .sectors = 40, .time = dmcore::Time(900)};
        flaky.stats.ops[1] = {.ios = 2, .sectors = 16, .time = dmcore::Time(100)};
        flaky.stats.reads_in_flight = 12;
        flaky.stats.stage_one = 4;
        flaky.stats.stage_two = 3;
        flaky.stats.retried = 118;
        flaky.stats.below = {{"gone", 9, 9}, {"joined", 125, 118}};
        server::DeviceInfo far;
        far.name = "remote";
        far.suspended = true;
        far.inactive_table = true;
        far.read_only = true;
        far.uuid = "u-1";
        far.size_sectors = 1048576;
        far.below = {"far"};
        far.inactive_below = {"flaky", "far"};
        return {joined, flaky, far};
    }

    std::vector<std::string> listening() override { return {"nbd://127.0.0.1:10809"}; }

    std::vector<server::ServedExport> exports() override {
        std::vector<server::ServedExport> all(2);
        all[0] = {.name = "",
                  .device = "flaky",
                  .size_bytes = 1U << 30,
                  .read_only = false,
                  .description = "",
                  .connections = 2,
                  .features = {.all = {{"flush", true, "a flush reaches the caches of img0"},
                                       {"fua", true, "so it is"},
                                       {"multi_conn", true, "one cache"},
                                       {"trim", false, "not of ram0"},
                                       {"zero", true, ""},
                                       {"fast_zero", false, "\x1b"}},
                               .stores = {"img0", "ram0"}},
                  .requests = {}};
        all[1].name = all[1].device = "remote";
        all[1].size_bytes = 1U << 29;
        all[1].read_only = true;
        all[1].description = "over\x1bthere";
        return all;
    }

    std::vector<server::ClientInfo> clients() override {
        return {{1, "127.0.0.1:40812", "", 5, false},
                {2, "unix", "remote", 0, true},
                {7, "evil\x1b[2J", std::nullopt, 0, false}};
    }
    server::MemoryInfo memory() override { return {4096, 1U << 30, 3}; }
    bool drop_client(std::uint64_t id) override {
        const std::lock_guard lock(mutex_);
        steps_.push_back("drop " + std::to_string(id));
        return id == 1;
    }

    std::optional<std::string> table_text(const std::string& device, dmcore::TextForm form,
                                          server::Slot slot) override {
        if (slot == server::Slot::inactive && device == "remote") return "0 8 zero \n";
        if (device == "joined") return "0 1048576 linear ram0 0\n1048576 1048576 linear img0 0\n";
        if (device == "remote") return "";
        if (device != "flaky") return {};
        const bool dm = form == dmcore::TextForm::dm;
        return std::string("0 2097152 flakey joined 0 9 ") + (dm ? "1" : "500ms") +
               " 1 drop_writes\n";
    }

    std::optional<std::string> table_yaml(const std::string& device) override {
        if (device != "flaky") return {};
        return "devices:\n  flaky:\n    table: []\n";
    }

    std::optional<std::string> status_text(const std::string& device, server::Slot slot) override {
        if (slot == server::Slot::inactive && device == "remote") return "0 8 zero \n";
        if (device == "flaky") return "0 2097152 flakey\n";
        return device == "joined" || device == "remote" ? std::optional<std::string>("")
                                                        : std::nullopt;
    }

    /// flaky's is 7 until somebody raises it.
    std::uint64_t wait_event(const std::string& device, std::uint64_t seen,
                             std::chrono::steady_clock::time_point until) override {
        taken("wait", device, std::to_string(seen));
        std::unique_lock lock(mutex_);
        raised_.wait_until(lock, until, [&] { return flaky_event_ != seen; });
        return flaky_event_;
    }
    void raise_event() {
        const std::lock_guard lock(mutex_);
        ++flaky_event_;
        raised_.notify_all();
    }

    void load(const std::string& device, const config::TableText& table) override {
        const bool dm = table.form == config::TableText::Form::dm;
        taken("load", device, (dm ? "dm " : "segments ") + table.text);
        if (table.text.find("bad") == std::string::npos) return;
        config::Diagnostics found;
        const config::Source source("table", "0 8 bad\n");
        found.error({&source, 1, 5, 3},
                    {"unknown-target", "there is no target 'bad'", "what?", {}});
        throw server::BadTable(std::move(found));
    }
    void clear(const std::string& device) override { taken("clear", device); }
    void suspend(const std::string& device, bool noflush) override {
        taken("suspend", device, noflush ? "noflush" : "flush");
        if (device == "joined") {
            throw server::StepError(server::StepError::Kind::wrong_state, "taken-back",
                                    "a resume took back the suspend of 'joined'");
        }
    }
    void resume(const std::string& device, bool noflush) override {
        taken("resume", device, noflush ? "noflush" : "flush");
        if (device == "joined") {
            throw server::StepError(server::StepError::Kind::wrong_state, "no-table",
                                    "'joined' has no table to resume", "load one first");
        }
    }
    std::string message(const std::string& device, std::uint64_t sector,
                        const std::vector<std::string>& words) override {
        std::string said = std::to_string(sector);
        for (const std::string& word : words) said += "|" + word;
        taken("message", device, said);
        if (words.at(0) == "bad") throw dmcore::TableError("bad-message", "it knows no 'bad'", 0);
        return words.at(0) == "quiet" ? "" : "said " + words.at(0) + "\n";
    }
    /// "STEP DEVICE what", in order; control threads add to it.
    std::vector<std::string> steps() {
        const std::lock_guard lock(mutex_);
        return steps_;
    }

    server::EventFeed& feed() override { return feed_; }

    std::vector<server::HealthPart> startup_health() override { return part("listeners"); }
    std::vector<server::HealthPart> ready_health() override { return part("store img0"); }
    std::vector<server::HealthPart> live_health() override { return part("shard 0"); }

  private:
    void taken(const std::string& step, const std::string& device, const std::string& what = {}) {
        if (!table_text(device, dmcore::TextForm::dm, server::Slot::live)) {
            throw server::StepError(server::StepError::Kind::no_such_device, "no-such-device",
                                    "there is no device '" + device + "'");
        }
        const std::lock_guard lock(mutex_);
        steps_.push_back(step + ' ' + device + (what.empty() ? "" : ' ' + what));
    }

    server::EventFeed feed_;
    std::mutex mutex_;
    std::condition_variable raised_;
    std::uint64_t flaky_event_ = 7;
    std::vector<std::string> steps_;

    std::vector<server::HealthPart> part(const std::string& name) const {
        return {{"other", true, ""}, {name, well, well ? "" : "does not answer"}};
    }
};

/// A folder of its own that goes with it.
class ScratchFolder {
  public:
    ScratchFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "dmnbd-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no scratch folder");
        path_ = name;
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    ~ScratchFolder() { std::filesystem::remove_all(path_); }

    std::string operator/(const std::string& file) const { return (path_ / file).string(); }
    std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};
