#include "config/diagnostic.h"
#include "server/cli/exit.h"
#include "server/cli/input.h"
#include "server/cli/verbs.h"

namespace server::cli {
namespace {

std::string table_of(const StepArgs& args) {
    if (args.table) return *args.table;
    return read_table(args.file.empty() ? "-" : args.file);
}

/// dm text begins with a number; what is no dm text is best explained as such, unless it begins
/// like a map.
bool is_yaml(std::string_view text) {
    for (;;) {
        text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
        if (!text.starts_with('#')) break;
        text.remove_prefix(std::min(text.find('\n'), text.size()));
    }
    const std::string_view word = text.substr(0, text.find_first_of(" \t\r\n"));
    return word.starts_with('{') || word == "-" || word == "---" || word.ends_with(':');
}

/// Asks for a step, and prints the device if that is wanted.
int take(const StepArgs& args, const std::string& step, const Json& body, Console& console) {
    Client client(client_address(args.control));
    const Json device = client.post(device_path(args.device) + step, body.dump());
    if (args.json) console.out << device.dump(2) << '\n';
    return exits::done;
}

}  // namespace

int load(const StepArgs& args, Console& console) {
    Client client(client_address(args.control));
    const std::string table = table_of(args);
    const std::string path = device_path(args.device) + "/load";
    const Json device = is_yaml(table) ? client.post(path, table, Client::yaml_type)
                                       : client.post(path, json_text({{"dm", table}}));
    if (args.json) console.out << device.dump(2) << '\n';
    return exits::done;
}

int clear(const StepArgs& args, Console& console) {
    return take(args, "/clear", Json::object(), console);
}

int suspend(const StepArgs& args, Console& console) {
    return take(args, "/suspend", {{"flush", !args.noflush}}, console);
}

int resume(const StepArgs& args, Console& console) {
    return take(args, "/resume", {{"flush", !args.noflush}}, console);
}

int message(const StepArgs& args, Console& console) {
    std::string text;
    for (const std::string& word : args.words) text += (text.empty() ? "" : " ") + word;
    Client client(client_address(args.control));
    const Json answer = client.post(device_path(args.device) + "/message",
                                    json_text({{"sector", args.sector}, {"text", text}}));
    if (args.json)
        console.out << answer.dump(2) << '\n';
    else
        console.out << printable_lines(answer.at("text").get<std::string>());
    return exits::done;
}

}  // namespace server::cli
