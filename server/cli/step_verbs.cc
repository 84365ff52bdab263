// The verbs that change or watch a running server.
#include "config/values.h"
#include "server/cli/command_line.h"

namespace server::cli {
namespace {

constexpr dmcore::Time interval_least = std::chrono::milliseconds(10);

}  // namespace

CLI::Option* add_duration(CLI::App& verb, const std::string& name,
                          std::optional<dmcore::Time>& value, const std::string& text,
                          dmcore::Time least) {
    const auto read = [&value, name, least](const std::string& word) {
        const auto time = config::parse_duration(word);
        if (!time) throw CLI::ValidationError(name, time.error().message);
        if (*time < least) {
            throw CLI::ValidationError(name, "at least " + config::duration_text(least));
        }
        value = *time;
    };
    return verb.add_option_function<std::string>(name, read, text)->type_name("TIME");
}

CLI::App* CommandLine::add_step(const std::string& name, const std::string& text,
                                const std::string& examples,
                                int (*step)(const StepArgs&, Console&)) {
    CLI::App* verb = add_verb(name, text, examples, [this, step](Console& console) {
        step_.control = control_;
        step_.json = json_;
        return step(step_, console);
    });
    add_word(*verb, "DEVICE", step_.device, "its name")->required();
    add_json(*verb);
    add_control(*verb);
    return verb;
}

void CommandLine::add_steps() {
    CLI::App* verb = add_step("load", "Put a table into a device's inactive slot, as dmsetup does",
                              "  dmnbd load flaky --table '0 2097152 linear joined 0'\n"
                              "  dmnbd load flaky new-table.yaml\n"
                              "  dmnbd table flaky | sed 's/ 9 1 / 5 5 /' | dmnbd load flaky",
                              load);
    verb->alias("reload");
    auto* file = add_word(*verb, "FILE", step_.file,
                          "dm table text, or YAML with 'table'; standard input if left out");
    verb->add_option("--table", step_.table, "the table itself")->type_name("TEXT")->excludes(file);

    add_step("clear", "Empty a device's inactive slot", "  dmnbd clear flaky", clear);

    verb = add_step("suspend", "Hold a device's I/O back; waits until what is in flight has ended",
                    "  dmnbd suspend flaky\n"
                    "  dmnbd suspend flaky --noflush    what fails meanwhile is run again later",
                    suspend);
    verb->add_flag("--noflush", step_.noflush, "parts may be put back instead of ending");

    verb = add_step("resume", "Make an inactive table live, and let I/O go on",
                    "  dmnbd resume flaky", resume);
    verb->add_flag("--noflush", step_.noflush, "if it must be suspended first: without a flush");

    verb = add_step("message", "Send a message to a target, or to dm's statistics",
                    "  dmnbd message worn 0 addbadblock 60\n"
                    "  dmnbd message flaky 0 @stats_create - /1",
                    message);
    add_word(*verb, "SECTOR", step_.sector, "the target that holds it is meant; @stats: any")
        ->required()
        ->check(count_fault);
    add_word(*verb, "TEXT", step_.words, "its words")->required();
}

void CommandLine::add_watching() {
    CLI::App* verb = add_verb("stats", "Print what a device has done",
                              "  dmnbd stats flaky                  since it is there\n"
                              "  dmnbd stats flaky --interval 1s    in each second\n"
                              "  dmnbd stats flaky --sysfs          as /sys/block/NAME/stat",
                              [this](Console& console) {
                                  stats_.control = control_;
                                  stats_.json = json_;
                                  return stats(stats_, console);
                              });
    add_word(*verb, "DEVICE", stats_.device, "its name")->required();
    verb->add_flag("--sysfs", stats_.sysfs, "the kernel's 17 columns");
    auto* interval =
        add_duration(*verb, "--interval", stats_.interval, "again and again", interval_least);
    verb->add_option("--count", stats_.count, "stop after so many; for ever if left out")
        ->check(count_fault)
        ->needs(interval)
        ->type_name("N");
    add_json(*verb);
    add_control(*verb);

    verb = add_verb("wait", "Wait until a new table is live, which raises a device's event number",
                    "  dmnbd wait flaky                   the next one\n"
                    "  dmnbd wait flaky 7 --timeout 5s    unless it is no longer 7; 124 after 5 s",
                    [this](Console& console) {
                        wait_.control = control_;
                        wait_.json = json_;
                        return wait(wait_, console);
                    });
    add_word(*verb, "DEVICE", wait_.device, "its name")->required();
    add_word(*verb, "EVENT", wait_.event, "the event number seen last; as it is if left out")
        ->check(count_fault);
    add_duration(*verb, "--timeout", wait_.timeout, "give up then; never if left out");
    add_json(*verb);
    add_control(*verb);

    verb = add_verb("top", "Watch what all devices do",
                    "  dmnbd top           redrawn each second; q ends it\n"
                    "  dmnbd top --once    one table",
                    [this](Console& console) {
                        top_.control = control_;
                        top_.json = json_;
                        return top(top_, console);
                    });
    verb->add_flag("--once", top_.once, "one table; as it is anyway where there is no terminal");
    add_duration(*verb, "--interval", top_.interval, "how long to look for each; 1s if left out",
                 interval_least);
    add_json(*verb);
    add_control(*verb);
}

void CommandLine::add_clients() {
    CLI::App* verb = add_verb("clients", "List who is connected, or drop a client",
                              "  dmnbd clients\n"
                              "  dmnbd clients drop 3    done when nothing of it can be written",
                              [this](Console& console) {
                                  client_.control = control_;
                                  client_.json = json_;
                                  const bool drop =
                                      app_.get_subcommand("clients")->got_subcommand("drop");
                                  return (drop ? drop_client : clients)(client_, console);
                              });
    add_json(*verb);
    add_control(*verb);
    CLI::App* drop = verb->add_subcommand("drop", "Close a client's connection");
    drop->footer("  dmnbd clients drop 3");
    add_common(*drop);
    add_word(*drop, "ID", client_.id, "as `dmnbd clients` lists it")
        ->required()
        ->check(count_fault);
    add_json(*drop);
    add_control(*drop);
}

void CommandLine::add_completion() {
    CLI::App* verb = add_verb("completion", "Print the script that completes words in a shell",
                              "  . <(dmnbd completion bash)\n"
                              "  dmnbd completion bash > "
                              "/usr/share/bash-completion/completions/dmnbd",
                              bash_completion);
    add_word(*verb, "SHELL", shell_, "bash is the only one")
        ->required()
        ->check(CLI::IsMember({"bash"}));
}

}  // namespace server::cli
