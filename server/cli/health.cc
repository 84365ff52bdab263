#include "server/cli/exit.h"
#include "server/cli/verbs.h"

namespace server::cli {

int health(const HealthArgs& args, Console& console) {
    Client client(client_address(args.control));
    const Client::Answer answer = client.ask(args.ready ? "/readyz?verbose" : "/livez?verbose");
    const Json body = Json::parse(answer.body, nullptr, false);
    if (!body.is_object() || !body.contains("good")) {
        throw Failure(exits::failed, "what answers there is not a dmnbd");
    }
    const bool good = answer.status == 200;
    if (args.json) {
        console.out << body.dump(2) << '\n';
    } else if (good) {
        console.out << (args.ready ? "ready\n" : "live\n");
    } else {
        console.error(body.at("title").get<std::string>());
        for (const Json& part : body.at("parts")) {
            if (part.at("good").get<bool>()) continue;
            console.err << "  " << printable(part.at("name").get<std::string>()) << ": "
                        << printable(part.at("detail").get<std::string>()) << '\n';
        }
    }
    return good ? exits::done : exits::failed;
}

}  // namespace server::cli
