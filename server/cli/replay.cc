#include <iomanip>
#include <nlohmann/json.hpp>

#include "dmcore/bio.h"
#include "server/cli/exit.h"
#include "server/cli/verbs.h"
#include "server/replay/replay.h"

namespace server::cli {
namespace {

namespace lf = dmcore::log_format;

std::string flags_text(std::uint64_t flags) {
    constexpr std::pair<std::uint64_t, const char*> names[] = {{lf::flush, "flush"},
                                                               {lf::fua, "fua"},
                                                               {lf::discard, "discard"},
                                                               {lf::mark, "mark"},
                                                               {lf::metadata, "metadata"}};
    std::string text;
    for (const auto& [flag, name] : names) {
        if ((flags & flag) != 0) text += (text.empty() ? "" : ",") + std::string(name);
    }
    return text.empty() ? "-" : text;
}

int list(const ReplayArgs& args, Console& console) {
    replay::LogReader reader(args.log);
    auto all = nlohmann::json::array();
    while (const auto entry = reader.next()) {
        const std::uint64_t sector = entry->at / dmcore::sector_bytes;
        const std::uint64_t sectors = entry->bytes / dmcore::sector_bytes;
        const std::string flags = flags_text(entry->flags);
        if (args.json) {
            all.push_back({{"entry", entry->number},
                           {"sector", sector},
                           {"sectors", sectors},
                           {"flags", flags},
                           {"mark", printable(entry->mark)}});
            continue;
        }
        console.out << entry->number << ' ' << sector << ' ' << sectors << ' ' << flags
                    << (entry->mark.empty() ? "" : " ") << printable(entry->mark) << '\n';
    }
    if (args.json) console.out << all.dump(2) << '\n';
    return exits::done;
}

}  // namespace

int replay_log(const ReplayArgs& args, Console& console) {
    const bool limited = args.entries || args.to_mark || args.to_end || args.from > 0;
    if (args.onto.empty() && limited) {
        throw Failure(exits::usage, "how far to replay is said, but not onto what",
                      "name a file or disk with --onto FILE");
    }
    try {
        if (args.onto.empty()) return list(args, console);
        const replay::Span span{.from = args.from, .to = args.entries, .to_mark = args.to_mark};
        const std::uint64_t next = replay::replay(args.log, span, args.onto);
        if (args.json) {
            console.out << nlohmann::json{{"from", args.from}, {"next", next}}.dump(2) << '\n';
        } else {
            console.out << "replayed " << (next > args.from ? next - args.from : 0)
                        << " entries; go on with --from " << next << '\n';
        }
    } catch (const replay::ReplayError& error) {
        throw Failure(exits::failed, error.what());
    }
    return exits::done;
}

}  // namespace server::cli
