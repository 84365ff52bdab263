#include "server/cli/embedded.h"
#include "server/cli/exit.h"
#include "server/cli/verbs.h"

namespace server::cli {

int bash_completion(Console& console) {
    console.out << embedded::bash_completion;
    return exits::done;
}

}  // namespace server::cli
