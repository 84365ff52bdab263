#include "server/cli/verbs.h"

#include "config/values.h"
#include "server/attach/attachment.h"
#include "server/attach/device.h"
#include "server/attach/error.h"
#include "server/cli/exit.h"

namespace server::cli {
namespace {

using attach::AttachError;

/// The kernel counts in whole seconds.
std::optional<std::chrono::seconds> whole_seconds(const std::optional<dmcore::Time>& time) {
    if (!time) return std::nullopt;
    return std::chrono::ceil<std::chrono::seconds>(*time);
}

int exit_code(AttachError::Kind kind) {
    switch (kind) {
        case AttachError::Kind::usage: return exits::usage;
        case AttachError::Kind::no_server: return exits::no_server;
        case AttachError::Kind::no_such: return exits::no_such;
        case AttachError::Kind::in_use: return exits::in_use;
        case AttachError::Kind::failed:
        case AttachError::Kind::other_bytes: break;
    }
    return exits::failed;
}

/// Runs `what`; its errors become the command line's.
template <class What>
int translated(const What& what) {
    try {
        what();
    } catch (const AttachError& error) {
        throw Failure(exit_code(error.kind), error.what(), error.help);
    } catch (const std::system_error& error) {
        throw Failure(exits::failed, error.what(), "the kernel's log may say more: dmesg");
    }
    return exits::done;
}

/// Where the server that runs here listens, as it says itself.
attach::NbdAddress server_address(const AttachArgs& args) {
    if (!args.server.empty()) return attach::parse_nbd_address(args.server);
    Client client(client_address(args.control));
    const Json uris = client.json("/v1/exports").at("uris");
    if (uris.empty()) throw Failure(exits::no_server, "the server listens nowhere");
    for (const Json& uri : uris) {
        const auto text = uri.get<std::string>();
        if (!text.starts_with("nbds")) return attach::parse_nbd_address(text);
    }
    return attach::parse_nbd_address(uris.front().get<std::string>());  // Says that it needs TLS.
}

/// Prints what happens, a line each.
class Narrator {
  public:
    Narrator(const AttachArgs& args, Console& console) : args_(args), console_(console) {}

    void say(const std::string& name, const std::string& text) const {
        say({{"event", name}, {"device", args_.device}, {"text", text}}, name, text);
    }
    void attached(const attach::Attachment& now) const {
        const attach::Terms& terms = now.terms();
        for (const std::string& note : terms.notes) console_.note(printable(note));
        const std::string timeout = config::duration_text(terms.timeout);
        const std::string dead_timeout = config::duration_text(terms.dead_timeout);
        say({{"event", "attached"},
             {"device", args_.device},
             {"size_bytes", now.size_bytes()},
             {"connections", terms.connections},
             {"block_bytes", terms.block_bytes},
             {"timeout_s", terms.timeout.count()},
             {"dead_timeout_s", terms.dead_timeout.count()},
             {"backend", now.backend()}},
            "attached",
            std::to_string(now.size_bytes()) +
                " bytes, connections: " + std::to_string(terms.connections) + ", blocks of " +
                std::to_string(terms.block_bytes) + " bytes, timeout " + timeout +
                ", dead-timeout " + dead_timeout + ", backend " + now.backend());
    }

  private:
    void say(const Json& json, const std::string& name, const std::string& text) const {
        if (args_.json)
            console_.out << json.dump() << std::endl;
        else
            console_.out << args_.device << ' ' << name << ": " << printable(text) << std::endl;
    }

    const AttachArgs& args_;
    Console& console_;
};

}  // namespace

int attach_device(const AttachArgs& args, Console& console) {
    return translated([&] {
        attach::Options options{.server = {},
                                .export_name = args.export_name,
                                .index = attach::device_index(args.device),
                                .connections = args.connections,
                                .block_bytes = args.block_bytes,
                                .timeout = whole_seconds(args.timeout),
                                .dead_timeout = whole_seconds(args.dead_timeout)};
        attach::require_driver();
        options.server = server_address(args);
        const Narrator narrator(args, console);
        attach::Attachment attachment(
            std::move(options),
            [&](const std::string& name, const std::string& text) { narrator.say(name, text); });
        narrator.attached(attachment);
        attachment.run();
    });
}

int detach_device(const AttachArgs& args) {
    return translated([&] { attach::detach(attach::device_index(args.device), args.force); });
}

}  // namespace server::cli
