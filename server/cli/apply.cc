#include "config/values.h"
#include "server/cli/embedded.h"
#include "server/cli/exit.h"
#include "server/cli/input.h"
#include "server/cli/verbs.h"

namespace server::cli {
namespace {

/// Sends the file; its name is for messages about it.
Json send(const ApplyArgs& args, const std::string& step, const std::string& query) {
    const std::string text = read_table(args.file);
    Client client(client_address(args.control));
    const std::string name = args.file == "-" ? "stdin" : args.file;
    return client.post("/v1/config/" + step + "?name=" + url_encoded(name) + query, text,
                       Client::yaml_type);
}

void print(const Json& answer, bool json, Console& console) {
    if (json)
        console.out << answer.dump(2) << '\n';
    else
        console.out << printable_lines(answer.at("text").get<std::string>());
}

}  // namespace

int plan(const ApplyArgs& args, Console& console) {
    const Json answer = send(args, "plan", "");
    print(answer, args.json, console);
    return args.exit_code && !answer.at("changes").empty() ? exits::changes : exits::done;
}

int apply(const ApplyArgs& args, Console& console) {
    std::string query;
    if (args.allow_shrink) query += "&allow_shrink";
    if (args.allow_data_loss) query += "&allow_data_loss";
    if (args.timeout) query += "&timeout=" + config::duration_text(*args.timeout);
    const Json answer = send(args, "apply", query);
    print(answer, args.json, console);
    if (answer.contains("note")) console.note(answer.at("note").get<std::string>());
    return exits::done;
}

int schema(Console& console) {
    console.out << embedded::schema;
    return exits::done;
}

}  // namespace server::cli
