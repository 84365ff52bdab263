#include "server/control/config_api.h"

#include <algorithm>

#include "config/values.h"
#include "server/control/json.h"
#include "server/control/steps.h"

namespace server::control {
namespace {

constexpr std::string_view text_types[] = {"application/yaml", "application/x-yaml", "text/yaml",
                                           "application/json"};

Json change_json(const config::Change& change) {
    constexpr const char* kinds[] = {"add", "change", "remove"};
    constexpr const char* risks[] = {"none", "data-loss", "shrink"};
    return {{"kind", kinds[static_cast<std::size_t>(change.kind)]},
            {"what", change.what},
            {"name", change.name},
            {"summary", change.summary},
            {"effect", change.effect},
            {"risk", risks[static_cast<std::size_t>(change.risk)]}};
}

/// `text` is for people, as `dmnbd plan` prints it.
Json changes_json(const std::vector<config::Change>& changes) {
    Json list = Json::array();
    for (const config::Change& each : changes) list.push_back(change_json(each));
    return {{"changes", std::move(list)}, {"text", config::plan_text(changes)}};
}

/// The table file that came; `?name=` is what its sender calls it.
LiveConfig::Sent sent(const Request& request) {
    if (std::ranges::find(text_types, request.content_type) == std::end(text_types)) {
        throw Refused{problem(415, "wrong-content-type", "a table file is sent as YAML or JSON",
                              "send Content-Type: application/yaml or application/json")};
    }
    const auto name = request.query.find("name");
    return {name == request.query.end() || name->second.empty() ? "table" : name->second,
            request.body};
}

/// `?flag`, `?flag=true` and `?flag=false`.
bool flag(const Request& request, const std::string& name) {
    const auto given = request.query.find(name);
    if (given == request.query.end() || given->second == "false") return false;
    if (given->second.empty() || given->second == "true") return true;
    throw Refused{problem(400, "bad-" + name, name + " is true or false")};
}

/// `"7"`, as ETag gave it, or 7.
std::optional<std::uint64_t> generation_of(std::string text) {
    if (text.empty() || text == "*") return std::nullopt;
    if (text.size() > 1 && text.front() == '"' && text.back() == '"') {
        text = text.substr(1, text.size() - 2);
    }
    const auto number = config::parse_count(text, UINT64_MAX);
    if (number) return *number;
    throw Refused{problem(400, "bad-if-match", "If-Match is a generation, as ETag gave it")};
}

}  // namespace

Response live_config(const Asked& asked) {
    LiveConfig::Live live = asked.config->live();
    return {.type = "application/yaml",
            .body = std::move(live.yaml),
            .etag = '"' + std::to_string(live.generation) + '"'};
}

Response check_config(const Asked& asked) {
    LiveConfig::Checked checked = asked.config->check(sent(asked.request));
    if (!checked.good) throw BadTable(std::move(checked.found));
    return {.body = dump({{"good", true},
                          {"warnings", Json::parse(checked.found.json())},
                          {"report", checked.found.human()}})};
}

Response plan_config(const Asked& asked) {
    return {.body = dump(changes_json(asked.config->plan(sent(asked.request))))};
}

Response apply_config(const Asked& asked) {
    const Request& request = asked.request;
    ApplyOptions options;
    options.allow_shrink = flag(request, "allow_shrink");
    options.allow_data_loss = flag(request, "allow_data_loss");
    options.if_generation = generation_of(request.if_match);
    const auto timeout = request.query.find("timeout");
    if (timeout != request.query.end()) {
        const auto time = config::parse_duration(timeout->second);
        if (!time) throw Refused{problem(400, "bad-timeout", "timeout: " + time.error().message)};
        options.timeout = *time;
    }
    const Applied applied = asked.config->apply(sent(request), options);
    Json body = changes_json(applied.changes);
    body["generation"] = applied.generation;
    body["pause_ms"] = std::chrono::duration<double, std::milli>(applied.pause).count();
    if (!applied.note.empty()) body["note"] = applied.note;
    return {.body = dump(body), .etag = '"' + std::to_string(applied.generation) + '"'};
}

Response problem(const ReloadError& error) {
    unsigned status = 500;
    switch (error.kind) {
        case ReloadError::Kind::refused: status = 409; break;
        case ReloadError::Kind::failed: status = 422; break;
        case ReloadError::Kind::late: status = 504; break;
        case ReloadError::Kind::stale: status = 412; break;
        case ReloadError::Kind::stopping: status = 503; break;
    }
    return problem(status, error.slug, error.what(), error.help);
}

}  // namespace server::control
