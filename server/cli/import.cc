#include "config/import.h"

#include <iostream>
#include <iterator>

#include "server/cli/exit.h"
#include "server/cli/verbs.h"

namespace server::cli {

int import_table(Console& console) {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    config::Diagnostics found;
    const auto yaml = config::import_dm(text, found);
    if (!yaml) {
        const std::string errors = found.human();
        console.err << (console.colour_err ? coloured_diagnostics(errors) : errors);
        return exits::failed;
    }
    console.out << *yaml;
    return exits::done;
}

}  // namespace server::cli
