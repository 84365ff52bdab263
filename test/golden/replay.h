#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "golden/machine.h"

namespace golden {

struct Difference {
    std::size_t line;  // Of the recording.
    std::string what;  // "io 5: error", "layout of a, sector 16".
    std::string kernel;
    std::string ours;
};

/// Does on a machine of ours what a recording says was done, and compares what came of it.
class Replay {
  public:
    explicit Replay(std::vector<Event> events) : events_(std::move(events)) {}

    /// All differences but those of choices.h. Throws Json::exception and std::exception for a
    /// recording that makes no sense.
    std::vector<Difference> run();

    /// Ids of choices that made a difference pass.
    const std::set<std::string>& chosen() const noexcept { return chosen_; }

  private:
    void take(std::size_t index);
    void create(std::size_t index);
    void load(std::size_t index);
    void resume(const Event& event);
    void message(const Event& event);
    void text(const Event& event, const std::string& ours);
    void limits(const Event& event);
    void io(const Event& event);
    void read_data(const Event& event, const IoResult& result);
    void statistics(const Event& event);
    void layout(const Event& event);
    void images();

    void compare(const Event& event, const std::string& what, const std::string& kernel,
                 const std::string& ours);
    void compare_error(const Event& event, const std::string& ours);
    void compare_counters(const Event& event, const Json& kernel, const Counters& ours);
    void choose(std::string_view id);
    bool is_read_only(std::size_t index) const;
    bool refused_at_resume(std::size_t index) const;

    std::vector<Event> events_;
    Machine machine_;
    std::vector<Difference> found_;
    std::set<std::string> chosen_;
    std::set<std::string> refused_;                      // Devices whose table was, at load [D-4].
    std::map<std::string, Counters> counters_;           // Of each device at its start.
    std::map<std::string, std::vector<Sector>> images_;  // Of each disk, as it must be in the end.
};

}  // namespace golden
