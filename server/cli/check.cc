#include "config/load.h"
#include "server/cli/exit.h"
#include "server/cli/verbs.h"
#include "server/net/tls_context.h"
#include "server/stores/open_remote.h"

namespace server::cli {
namespace {

std::string counted(std::size_t count, const std::string& thing) {
    return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

std::string verdict(const std::optional<config::Spec>& spec, const config::Diagnostics& found) {
    std::string text = spec ? "good: " + counted(spec->devices.size(), "device") + ", " +
                                  counted(spec->exports.size(), "export")
                            : counted(found.errors(), "error");
    if (found.warnings() > 0) text += ", " + counted(found.warnings(), "warning");
    return text;
}

}  // namespace

int check(const CheckArgs& args, Console& console) {
    bool good = true;
    Json all = Json::array();
    config::Surroundings around;
    around.remote_size = ask_remote_size(Ask::once);
    around.tls = check_tls;
    for (const std::string& file : args.files) {
        config::Diagnostics found;
        const std::optional<config::Spec> spec = config::load_file(file, found, around);
        if (!spec || (args.strict && found.warnings() > 0)) good = false;
        if (args.format == CheckFormat::json) {
            for (Json& one : Json::parse(found.json())) all.push_back(std::move(one));
        } else if (args.format == CheckFormat::brief) {
            console.out << found.brief();
        } else {
            const std::string text = found.human();
            console.out << (console.colour_out ? coloured_diagnostics(text) : text)
                        << printable(file) << ": " << verdict(spec, found) << '\n';
        }
    }
    if (args.format == CheckFormat::json) console.out << all.dump(2) << '\n';
    return good ? exits::done : exits::failed;
}

}  // namespace server::cli
