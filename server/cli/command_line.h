#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "server/cli/verbs.h"

namespace server::cli {

/// An argument that is known by its place.
template <class Value>
CLI::Option* add_word(CLI::App& verb, const std::string& name, Value& value,
                      const std::string& text) {
    return verb.add_option(name, value, text)->type_name("");
}

/// For check(): why a word is not a number from 0 to 2^64 - 1. (CLI11 would read -1 as one.)
std::string count_fault(const std::string& word);

/// An option such as `--interval 1s`.
CLI::Option* add_duration(CLI::App& verb, const std::string& name,
                          std::optional<dmcore::Time>& value, const std::string& text,
                          dmcore::Time least = {});

/// The verbs and options, and what the user asked for.
class CommandLine {
  public:
    CommandLine();
    int run(std::vector<std::string> arguments, std::ostream& out, std::ostream& err);

  private:
    using Verb = std::function<int(Console&)>;
    using LookVerb = int (*)(const LookArgs&, Console&);

    CLI::App* add_verb(const std::string& name, const std::string& text,
                       const std::string& examples, Verb verb);
    CLI::App* add_looking_verb(const std::string& name, const std::string& text,
                               const std::string& examples, LookVerb verb);
    CLI::App* add_step(const std::string& name, const std::string& text,
                       const std::string& examples, int (*step)(const StepArgs&, Console&));
    void add_common(CLI::App& app);
    void add_control(CLI::App& app);
    void add_json(CLI::App& verb) { verb.add_flag("--json", json_, "print JSON"); }
    void add_device(CLI::App& verb) { add_word(verb, "DEVICE", look_.name, "all if left out"); }
    void add_inactive(CLI::App& verb);
    void add_server_options(CLI::App& verb);
    void add_serving();
    void add_check();
    void add_looking();
    void add_replay();
    void add_rest();
    // step_verbs.cc
    void add_steps();
    void add_watching();
    void add_clients();
    void add_completion();
    void add_config();     // config_verbs.cc
    void add_attaching();  // attach_verbs.cc

    void parse(std::vector<std::string> arguments);
    void refuse_unknown() const;

    CLI::App app_{"dmnbd: device-mapper in userspace, served over NBD", "dmnbd"};
    Verb chosen_;
    std::string colour_ = "auto";
    std::string control_;
    bool json_ = false;
    ServeArgs serve_;
    CheckArgs check_;
    std::string check_format_ = "human";
    LookArgs look_;
    ReplayArgs replay_;
    HealthArgs health_;
    StepArgs step_;
    ApplyArgs apply_;
    StatsArgs stats_;
    WaitArgs wait_;
    TopArgs top_;
    ClientArgs client_;
    AttachArgs attach_;
    std::string shell_;
};

}  // namespace server::cli
