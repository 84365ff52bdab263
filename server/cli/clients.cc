#include "server/cli/exit.h"
#include "server/cli/format.h"
#include "server/cli/verbs.h"

namespace server::cli {

int clients(const ClientArgs& args, Console& console) {
    Client client(client_address(args.control));
    const Json all = client.json("/v1/clients").at("clients");
    if (args.json)
        console.out << all.dump(2) << '\n';
    else
        console.out << clients_text(all);
    return exits::done;
}

int drop_client(const ClientArgs& args, Console& console) {
    Client client(client_address(args.control));
    const Json answer = client.remove("/v1/clients/" + std::to_string(args.id));
    if (args.json) console.out << answer.dump(2) << '\n';
    return exits::done;
}

}  // namespace server::cli
