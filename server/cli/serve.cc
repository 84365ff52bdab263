#include <cstdlib>
#include <iterator>
#include <sstream>

#include "config/load.h"
#include "server/cli/embedded.h"
#include "server/cli/exit.h"
#include "server/cli/verbs.h"
#include "server/net/tls_context.h"
#include "server/stores/open_remote.h"

namespace server::cli {
namespace {

/// What --listen says, else the words of $DMNBD_LISTEN: whoever starts a container can often give
/// it an environment, but no arguments.
std::vector<std::string> listen_of(std::vector<std::string> flags) {
    const char* environment = std::getenv("DMNBD_LISTEN");
    if (!flags.empty() || environment == nullptr) return flags;
    std::istringstream words(environment);
    return {std::istream_iterator<std::string>(words), {}};
}

int serve_spec(const std::optional<config::Spec>& spec, const config::Diagnostics& found,
               const ServeOptions& options, Console& console) {
    // Notes alone are for `check`: who starts a good table wants to see it run.
    if (!found.ok() || found.warnings() > 0) {
        const std::string text = found.human();
        console.err << (console.colour_err ? coloured_diagnostics(text) : text) << std::flush;
    }
    return spec ? server::serve(*spec, options) : exits::failed;
}

}  // namespace

int serve(ServeArgs args, Console& console) {
    args.options.control_path = server_path(args.control);
    args.options.listen = listen_of(std::move(args.options.listen));
    args.options.table_path = args.file;
    args.options.banner = "(" + printable(args.file) + ")";
    config::Diagnostics found;
    config::Surroundings around;
    around.remote_size = ask_remote_size(Ask::patiently);
    around.tls = check_tls;
    return serve_spec(config::load_file(args.file, found, around), found, args.options, console);
}

int demo(ServeArgs args, Console& console) {
    if (args.print) {
        console.out << embedded::demo_table;
        return exits::done;
    }
    args.options.control_path = server_path(args.control);
    args.options.listen = listen_of(std::move(args.options.listen));
    args.options.banner = "(embedded demo table; `dmnbd demo --print` shows it)";
    args.options.hints = {"try:  nbdinfo nbd://127.0.0.1            dmnbd ls --tree",
                          "      dmnbd info -c"};
    config::Diagnostics found;
    return serve_spec(config::load_text("demo", std::string(embedded::demo_table), found), found,
                      args.options, console);
}

}  // namespace server::cli
