// The verbs about the table file of a running server, and about table files as such.
#include "server/cli/command_line.h"

namespace server::cli {

void CommandLine::add_config() {
    const auto with_args = [this](int (*verb)(const ApplyArgs&, Console&)) {
        return [this, verb](Console& console) {
            apply_.control = control_;
            apply_.json = json_;
            return verb(apply_, console);
        };
    };
    CLI::App* verb = add_verb("plan", "Show what a table file would change of what is live",
                              "  dmnbd plan table.yaml\n"
                              "  dmnbd plan table.yaml --exit-code    10 if there are changes",
                              with_args(plan));
    add_word(*verb, "FILE", apply_.file, "the table file; -: standard input")->required();
    verb->add_flag("--exit-code", apply_.exit_code, "exit with 10 if there are changes");
    add_json(*verb);
    add_control(*verb);

    verb = add_verb("apply", "Make a table file live: all of it, or nothing",
                    "  dmnbd apply table.yaml\n"
                    "  dmnbd apply table.yaml --timeout 30s",
                    with_args(apply));
    add_word(*verb, "FILE", apply_.file, "the table file; -: standard input")->required();
    add_duration(*verb, "--timeout", apply_.timeout,
                 "give up if I/O in flight does not end within this; default: 10s");
    verb->add_flag("--allow-shrink", apply_.allow_shrink,
                   "devices may become smaller than clients were told");
    verb->add_flag("--allow-data-loss", apply_.allow_data_loss,
                   "stores in memory may go, with what is in them");
    add_json(*verb);
    add_control(*verb);

    add_verb("schema", "Print the JSON Schema of table files, for editors",
             "  dmnbd schema > dmnbd.schema.json", schema);
}

}  // namespace server::cli
