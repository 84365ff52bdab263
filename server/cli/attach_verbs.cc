// The verbs of the kernel's client.
#include "config/values.h"
#include "server/attach/limits.h"
#include "server/cli/command_line.h"

namespace server::cli {
namespace {

constexpr dmcore::Time time_least = std::chrono::seconds(1);  // The kernel takes 0 for never.

}  // namespace

void CommandLine::add_attaching() {
    CLI::App* verb =
        add_verb("attach", "Make an export a disk of this machine, and keep it connected",
                 "  dmnbd attach steady /dev/nbd0                     until SIGTERM or Ctrl-C\n"
                 "  dmnbd attach '' /dev/nbd0 --server nbd://10.0.0.7\n"
                 "  dmnbd attach disk /dev/nbd0 --connections 8 --dead-timeout 5m",
                 [this](Console& console) {
                     attach_.control = control_;
                     attach_.json = json_;
                     return attach_device(attach_, console);
                 });
    add_word(*verb, "EXPORT", attach_.export_name, "its name; '' is the default export")
        ->required();
    add_word(*verb, "NBD", attach_.device, "/dev/nbdN; needs the nbd module and CAP_SYS_ADMIN")
        ->required();
    verb->add_option("--server", attach_.server,
                     "nbd://HOST:PORT or nbd+unix:///?socket=PATH; else the server that --control "
                     "finds is asked where it listens")
        ->type_name("URI");
    verb->add_option("--connections", attach_.connections,
                     "as many as that, where the server offers several; 4 if left out")
        ->check(CLI::Range(1U, attach::connections_max))
        ->type_name("N");
    const auto read_size = [this](const std::string& word) {
        const auto size = config::parse_size(word, config::Bare::refused);
        const auto count = config::parse_count(word, 1U << 20);
        if (!size && !count) throw CLI::ValidationError("--block-size", size.error().message);
        attach_.block_bytes = count ? *count : *size;
    };
    verb->add_option_function<std::string>(
            "--block-size", read_size,
            "of the disk: a power of two from 512 to 4096; the export's least if left out")
        ->type_name("SIZE");
    add_duration(*verb, "--timeout", attach_.timeout,
                 "the kernel then sends a request again; 30s if left out, or as long as the "
                 "export may take, and 10s more",
                 time_least);
    add_duration(*verb, "--dead-timeout", attach_.dead_timeout,
                 "how long I/O waits for a server that is gone; 60s if left out, but not less than "
                 "--timeout",
                 time_least);
    add_json(*verb);
    add_control(*verb);

    verb = add_verb("detach", "Detach a disk that is attached",
                    "  dmnbd detach /dev/nbd0\n"
                    "  dmnbd detach /dev/nbd0 --force    though it is mounted",
                    [this](Console&) { return detach_device(attach_); });
    add_word(*verb, "NBD", attach_.device, "/dev/nbdN; needs CAP_SYS_ADMIN")->required();
    verb->add_flag("--force", attach_.force,
                   "also while something uses it, which then sees I/O errors");
}

}  // namespace server::cli
