#include "server/cli/cli.h"

#include <unistd.h>

#include <algorithm>

#include "config/closest.h"
#include "config/diagnostic.h"
#include "config/values.h"
#include "server/cli/command_line.h"
#include "server/cli/embedded.h"
#include "server/cli/exit.h"
#include "server/net/fast_gcm.h"

namespace server::cli {
namespace {

constexpr unsigned shards_max = 256;

constexpr const char* exit_codes =
    "\nExit codes:\n"
    "  0    done\n"
    "  1    failed: a table is not good, a request was refused\n"
    "  2    wrong usage\n"
    "  3    no server answers at the control address\n"
    "  4    there is no such device, export, client or target\n"
    "  5    refused because something is in use, or data would be lost\n"
    "  10   `plan --exit-code`: there are changes\n"
    "  124  `wait --timeout` ran out\n";

/// Help with the examples first.
class ExamplesFirst : public CLI::Formatter {
  public:
    std::string make_help(const CLI::App* app, std::string name,
                          CLI::AppFormatMode mode) const override {
        if (mode == CLI::AppFormatMode::Sub) return make_expanded(app);
        return make_description(app) + "\nExamples:\n" + make_footer(app) + "\n" +
               make_usage(app, std::move(name)) + make_positionals(app) + make_groups(app, mode) +
               make_subcommands(app, mode) + (app->get_parent() == nullptr ? exit_codes : "");
    }
};

std::string version_text() {
#ifdef __clang__
    constexpr const char* compiler = __VERSION__;
#else
    constexpr const char* compiler = "g++ " __VERSION__;
#endif
    return "dmnbd " DMNBD_VERSION "\noptional libraries: " +
           std::string(embedded::optional_libraries) + ", " + fast_gcm_version() + "\nbuilt by " +
           compiler + ", " + std::string(embedded::build_type);
}

std::vector<std::string> options_of(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
}

std::vector<std::string> verbs_of(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* verb : app.get_subcommands({})) {
        names.push_back(verb->get_name());
        for (const std::string& alias : verb->get_aliases()) names.push_back(alias);
    }
    return names;
}

/// What follows "--" in a message is no option. A backslash makes it a word for CLI11, which ends a
/// verb there, and nothing else for dm, which takes it off again [T-6].
void keep_words_of_message(std::vector<std::string>& arguments) {
    const auto mark = std::ranges::find(arguments, "--");
    if (mark == arguments.end() || std::find(arguments.begin(), mark, "message") == mark) return;
    for (auto word = arguments.erase(mark); word != arguments.end(); ++word) {
        if (word->starts_with('-')) word->insert(0, "\\");
    }
}

/// Names what was meant by a word that means nothing, or says what else to do; may be empty.
std::string advice(const std::string& verb, const std::string& word,
                   const std::vector<std::string>& known) {
    const std::vector<std::string_view> names(known.begin(), known.end());
    if (word == "--nolockfs") return "leave it out: there is no file system here to freeze";
    std::string meant = config::did_you_mean(word, names);
    if (meant.empty() && verb == "message") meant = "words that begin with '-' go behind --";
    return meant;
}

}  // namespace

std::string count_fault(const std::string& word) {
    const auto count = config::parse_count(word, UINT64_MAX);
    return count ? std::string() : count.error().message;
}

CommandLine::CommandLine() {
    app_.formatter(std::make_shared<ExamplesFirst>());
    app_.require_subcommand(0, 1);
    app_.footer(
        "  dmnbd demo                  something to look at, without root or a file\n"
        "  dmnbd serve table.yaml      serve your own table\n"
        "  dmnbd ls --tree             what a running server has");
    add_common(app_);
    add_control(app_);
    add_serving();
    add_check();
    add_looking();
    add_steps();
    add_watching();
    add_config();
    add_clients();
    add_attaching();
    add_replay();
    add_rest();
    add_completion();
}

void CommandLine::add_inactive(CLI::App& verb) {
    verb.add_flag("--inactive", look_.inactive, "of the inactive table: loaded, not live yet");
}

CLI::App* CommandLine::add_verb(const std::string& name, const std::string& text,
                                const std::string& examples, Verb verb) {
    CLI::App* added = app_.add_subcommand(name, text);
    added->footer(examples);
    added->callback([this, verb = std::move(verb)] { chosen_ = verb; });
    add_common(*added);
    return added;
}

void CommandLine::add_common(CLI::App& app) {
    app.allow_extras();  // refuse_unknown() names them, and what was meant.
    app.set_help_flag("--help,-h", "print this");
    app.set_version_flag("--version", version_text, "print the version");
    app.add_option("--color", colour_, "when to use colour; auto: on a terminal without NO_COLOR")
        ->check(CLI::IsMember({"auto", "always", "never"}))
        ->type_name("WHEN");
}

void CommandLine::add_control(CLI::App& app) {
    app.add_option("--control", control_,
                   "which server: PATH, unix:PATH or http://HOST:PORT; "
                   "else $DMNBD_CONTROL, else where servers are by default; by HTTP the token "
                   "in the file $DMNBD_TOKEN_FILE is sent along")
        ->type_name("ADDRESS");
}

void CommandLine::add_server_options(CLI::App& verb) {
    ServeOptions& options = serve_.options;
    verb.add_option("--listen", options.listen,
                    "tcp://HOST:PORT or unix:PATH, instead of the table's; repeatable; "
                    "else the words of $DMNBD_LISTEN")
        ->type_name("URI")
        ->allow_extra_args(false);  // Or it would take FILE for a second one.
    verb.add_option("--seed", options.seed, "repeats every random choice of a run with this seed")
        ->check(count_fault)
        ->type_name("N");
    verb.add_option("--shards", options.shards, "threads that serve; default: cores")
        ->check(CLI::Range(1U, shards_max))
        ->type_name("N");
    verb.add_option(
            "--control", control_,
            "make the control socket here, instead of where the table or $DMNBD_CONTROL says")
        ->type_name("PATH");
    verb.add_option("--run", options.run,
                    "run this with $uri set, serve until it ends, exit with its code")
        ->type_name("COMMAND");
}

void CommandLine::add_serving() {
    CLI::App* serve_verb =
        add_verb("serve", "Serve a table file",
                 "  dmnbd serve table.yaml\n"
                 "  dmnbd serve table.yaml --listen unix:/tmp/nbd.sock --seed 42\n"
                 "  dmnbd serve table.yaml --run 'nbdinfo $uri'",
                 [this](Console& console) {
                     serve_.control = control_;
                     return serve(serve_, console);
                 });
    add_word(*serve_verb, "FILE", serve_.file, "the table file")->required();
    serve_verb->add_flag_callback(
        "--no-watch", [this] { serve_.options.watch = false; },
        "don't reload FILE when it changes; SIGHUP and `dmnbd apply` still do");
    add_server_options(*serve_verb);
    CLI::App* demo_verb = add_verb("demo", "Serve a small stack to play with, on 127.0.0.1:10809",
                                   "  dmnbd demo\n"
                                   "  dmnbd demo --print > table.yaml",
                                   [this](Console& console) {
                                       serve_.control = control_;
                                       return demo(serve_, console);
                                   });
    demo_verb->add_flag("--print", serve_.print, "print its table file instead of serving it");
    add_server_options(*demo_verb);
}

void CommandLine::add_check() {
    CLI::App* verb = add_verb("check", "Say whether table files are good, and if not, why",
                              "  dmnbd check table.yaml\n"
                              "  dmnbd check --strict --format short *.yaml",
                              [this](Console& console) {
                                  if (json_ || check_format_ == "json") {
                                      check_.format = CheckFormat::json;
                                  } else if (check_format_ == "short") {
                                      check_.format = CheckFormat::brief;
                                  }
                                  return check(check_, console);
                              });
    add_word(*verb, "FILE", check_.files, "table files")->required();
    verb->add_option("--format", check_format_, "human, short (one line each) or json")
        ->check(CLI::IsMember({"human", "short", "json"}))
        ->type_name("FORMAT");
    verb->add_flag("--strict", check_.strict, "warnings fail, too");
    add_json(*verb);
}

CLI::App* CommandLine::add_looking_verb(const std::string& name, const std::string& text,
                                        const std::string& examples, LookVerb verb) {
    CLI::App* added = add_verb(name, text, examples, [this, verb](Console& console) {
        look_.control = control_;
        look_.json = json_;
        return verb(look_, console);
    });
    add_json(*added);
    return added;
}

void CommandLine::add_looking() {
    CLI::App* verb = add_looking_verb("ls", "List the devices",
                                      "  dmnbd ls\n"
                                      "  dmnbd ls --tree        what stands on what",
                                      ls);
    verb->add_flag("--tree", look_.tree, "draw what they stand on");
    add_control(*verb);

    verb = add_looking_verb("table", "Print tables, as dmsetup does",
                            "  dmnbd table\n"
                            "  dmnbd table flaky\n"
                            "  dmnbd table flaky --inactive    what a resume would bring in\n"
                            "  dmnbd table --format yaml       all that is live, as a table file",
                            table);
    verb->add_option_function<std::string>(
            "--format", [this](const std::string& word) { look_.yaml = word == "yaml"; },
            "dm or yaml; default: dm")
        ->check(CLI::IsMember({"dm", "yaml"}))
        ->type_name("FORMAT");
    add_device(*verb);
    add_inactive(*verb);
    add_control(*verb);

    verb = add_looking_verb("status", "Print what the targets report, as dmsetup does",
                            "  dmnbd status\n"
                            "  dmnbd status flaky",
                            status);
    add_device(*verb);
    add_inactive(*verb);
    add_control(*verb);

    verb = add_looking_verb("info", "Print the state of devices",
                            "  dmnbd info -c              a line each\n"
                            "  dmnbd info flaky --json    with all counters",
                            info);
    add_device(*verb);
    verb->add_flag("-c,--columns", look_.columns, "a line each");
    add_control(*verb);

    verb = add_looking_verb("deps", "List what devices stand on, as dmsetup does, by name",
                            "  dmnbd deps\n"
                            "  dmnbd deps flaky",
                            deps);
    add_device(*verb);
    add_inactive(*verb);
    add_control(*verb);

    verb = add_looking_verb("exports", "List what clients can open",
                            "  dmnbd exports\n"
                            "  dmnbd exports data         what clients are told, and why\n"
                            "  dmnbd exports --json",
                            exports);
    add_word(*verb, "EXPORT", look_.name, "only this one, in full");
    add_control(*verb);
}

void CommandLine::add_replay() {
    CLI::App* verb = add_verb("replay", "List what a log of log-writes holds, or do it again",
                              "  dmnbd replay log.img\n"
                              "  dmnbd replay log.img --onto disk.img --to-mark mkfs\n"
                              "  dmnbd replay log.img --onto disk.img --from 120",
                              [this](Console& console) {
                                  replay_.json = json_;
                                  return replay_log(replay_, console);
                              });
    add_word(*verb, "LOG", replay_.log, "file or disk that the log is on")->required();
    verb->add_option("--onto", replay_.onto, "write to this file or disk")->type_name("FILE");
    auto* mark = verb->add_option("--to-mark", replay_.to_mark, "up to the first mark of this name")
                     ->type_name("NAME");
    auto* count = verb->add_option("--entries", replay_.entries, "only the first N of the log")
                      ->type_name("N")
                      ->excludes(mark);
    verb->add_flag("--to-end", replay_.to_end, "all of it; so it is unless told otherwise")
        ->excludes(mark)
        ->excludes(count);
    verb->add_option("--from", replay_.from, "go on at this entry; they count from 0")
        ->type_name("N");
    add_json(*verb);
}

void CommandLine::add_rest() {
    add_verb("import", "Turn what dmsetup table prints into a table file",
             "  dmsetup table | dmnbd import > table.yaml\n"
             "  dmsetup table --concise | dmnbd import",
             import_table);

    CLI::App* verb =
        add_looking_verb("targets", "List the kinds of target, or say how one is written",
                         "  dmnbd targets\n"
                         "  dmnbd targets flakey",
                         targets);
    add_word(*verb, "NAME", look_.name, "of a target");

    verb =
        add_verb("health", "Exit with 0 if the server is well, 1 if it is not, 3 if there is none",
                 "  dmnbd health               its threads answer\n"
                 "  dmnbd health --ready       and it can serve every export",
                 [this](Console& console) {
                     health_.control = control_;
                     health_.json = json_;
                     return health(health_, console);
                 });
    verb->add_flag("--ready", health_.ready, "ask whether every export can be served");
    add_json(*verb);
    add_control(*verb);
}

/// Throws Failure for the first word that means nothing.
void CommandLine::refuse_unknown() const {
    std::vector<std::string> left = app_.remaining(true);
    std::erase(left, "--");
    const CLI::App* app = &app_;
    std::string where = "dmnbd";
    while (!app->get_subcommands().empty()) {
        app = app->get_subcommands().front();
        where += " " + app->get_name();
    }
    if (left.empty() && app != &app_) return;
    if (left.empty()) throw Failure(exits::usage, "no verb is given", "dmnbd --help lists them");
    const std::string word = left.front().substr(0, left.front().find('='));
    const bool option = word.starts_with('-');
    const bool verb = !option && !app->get_subcommands({}).empty();
    const std::string meant =
        advice(app->get_name(), word, option ? options_of(*app) : verbs_of(*app));
    throw Failure(exits::usage,
                  option ? where + " has no option " + config::in_quotes(word)
                  : verb ? where + " has no verb " + config::in_quotes(word)
                         : where + " takes no argument " + config::in_quotes(word),
                  meant.empty() ? where + " --help lists what there is" : meant);
}

/// Throws Failure, or CLI::ParseError: of success for help and version.
void CommandLine::parse(std::vector<std::string> arguments) {
    keep_words_of_message(arguments);
    std::ranges::reverse(arguments);  // As CLI11 wants them.
    try {
        app_.parse(std::move(arguments));
    } catch (const CLI::RequiredError&) {
        // An unknown word is the better explanation.
        if (!app_.remaining(true).empty()) refuse_unknown();
        throw;
    }
    refuse_unknown();
}

int CommandLine::run(std::vector<std::string> arguments, std::ostream& out, std::ostream& err) {
    Console console{.out = out, .err = err};
    try {
        parse(std::move(arguments));
        const Colour colour = colour_ == "always"  ? Colour::always
                              : colour_ == "never" ? Colour::never
                                                   : Colour::automatic;
        console.colour_out = wants_colour(colour, STDOUT_FILENO);
        console.colour_err = wants_colour(colour, STDERR_FILENO);
        const int code = chosen_(console);
        out.flush();
        if (!out) throw Failure(exits::failed, "can't write the output");
        return code;
    } catch (const CLI::Success& asked) {
        app_.exit(asked, out, err);
        return exits::done;
    } catch (const CLI::ParseError& error) {
        const auto verb = app_.get_subcommands();
        console.error(error.what(), "dmnbd " +
                                        (verb.empty() ? "" : verb.front()->get_name() + " ") +
                                        "--help has examples");
        return exits::usage;
    } catch (const Failure& failure) {
        if (failure.report.empty())
            console.error(failure.what(), failure.help);
        else
            console.report(failure.report);
        return failure.code;
    } catch (const Json::exception&) {
        console.error("the server's answer makes no sense", "it may be of another version");
        return exits::failed;
    } catch (const std::exception& error) {
        console.error(error.what());
        return exits::failed;
    }
}

int run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
    return CommandLine().run(arguments, out, err);
}

}  // namespace server::cli
