#include "server/control/steps.h"

#include <algorithm>

#include "config/closest.h"
#include "config/dm_text.h"
#include "config/values.h"
#include "server/control/json.h"
#include "server/control/limits.h"

namespace server::control {
namespace {

constexpr unsigned unprocessable = 422;
constexpr std::string_view yaml_type = "application/yaml";

[[noreturn]] void refuse(const std::string& slug, const std::string& title,
                         const std::string& detail = {}) {
    throw Refused{problem(400, slug, title, detail)};
}

Json parse_json(const std::string& text, int depth_max) {
    using Event = Json::parse_event_t;
    bool too_deep = false;
    const auto look = [&](int around, Event event, Json&) {
        const bool begins = event == Event::object_start || event == Event::array_start;
        too_deep = too_deep || (begins && around >= depth_max);
        return !too_deep;
    };
    Json body = Json::parse(text, look, false);
    if (too_deep) {
        refuse("too-deep",
               "the body is nested more than " + std::to_string(depth_max) + " levels deep");
    }
    if (body.is_discarded()) refuse("bad-body", "the body is not JSON");
    return body;
}

std::string keys_text(std::span<const std::string_view> keys) {
    if (keys.empty()) return "this step takes no keys";
    std::string text = "the keys are";
    for (const std::string_view key : keys) text.append(" ").append(key);
    return text;
}

/// The body; an empty one says as much as {}.
Json read_body(const Request& request, std::span<const std::string_view> keys,
               int depth_max = limits::body_depth_max) {
    if (request.content_type != "application/json") {
        throw Refused{problem(415, "wrong-content-type", "a change is asked for in JSON",
                              "send Content-Type: application/json")};
    }
    if (request.body.empty()) return Json::object();
    Json body = parse_json(request.body, depth_max);
    if (!body.is_object()) refuse("bad-body", "the body is not an object", "write it like {}");
    for (const auto& [key, value] : body.items()) {
        if (std::ranges::find(keys, key) != keys.end()) continue;
        const std::string meant = config::did_you_mean(key, keys);
        refuse("unknown-key", "there is no key " + config::in_quotes(key),
               meant.empty() ? keys_text(keys) : meant);
    }
    return body;
}

/// `{"flush": false}` is dm's noflush.
bool read_noflush(const Request& request) {
    static constexpr std::string_view keys[] = {"flush"};
    const Json body = read_body(request, keys);
    const Json flush = body.value("flush", Json(true));
    if (!flush.is_boolean()) refuse("bad-value", "flush is true or false");
    return !flush.get<bool>();
}

/// A table in YAML comes as it is; one in JSON, or dm text in JSON.
config::TableText read_table(const Request& request) {
    static constexpr std::string_view keys[] = {"table", "map", "dm"};
    if (request.content_type == yaml_type) {
        return {.form = config::TableText::Form::segments, .text = request.body};
    }
    const Json body = read_body(request, keys, limits::table_depth_max);
    config::TableText table;
    if (body.contains("dm") == body.contains("table") || (body.contains("dm") && body.size() > 1)) {
        refuse("bad-body", "a table is given as 'table' or as 'dm'",
               R"(write {"dm":"0 8 zero"} or {"table":[{"length":8,"target":"zero"}]})");
    }
    if (body.contains("dm")) {
        if (!body.at("dm").is_string()) refuse("bad-value", "dm is text");
        table.text = body.at("dm").get<std::string>();
    } else {
        table.form = config::TableText::Form::segments;
        table.text = request.body;
    }
    return table;
}

Response state_of(const Asked& asked) {
    const std::vector<DeviceInfo> devices = asked.live.devices();
    const auto found = std::ranges::find(devices, asked.name, &DeviceInfo::name);
    return {.body = dump(found == devices.end() ? Json::object() : json_of(*found))};
}

}  // namespace

Response suspend_device(const Asked& asked) {
    asked.live.suspend(asked.name, read_noflush(asked.request));
    return state_of(asked);
}

Response resume_device(const Asked& asked) {
    asked.live.resume(asked.name, read_noflush(asked.request));
    return state_of(asked);
}

Response load_device(const Asked& asked) {
    asked.live.load(asked.name, read_table(asked.request));
    return state_of(asked);
}

Response clear_device(const Asked& asked) {
    read_body(asked.request, {});
    asked.live.clear(asked.name);
    return state_of(asked);
}

Response message_device(const Asked& asked) {
    static constexpr std::string_view keys[] = {"sector", "text"};
    const Json body = read_body(asked.request, keys);
    const Json sector = body.value("sector", Json(0U));
    if (!sector.is_number_unsigned()) refuse("bad-value", "sector is a number of sectors");
    const Json text = body.value("text", Json());
    if (!text.is_string()) refuse("bad-value", "text is the words of the message");
    std::vector<std::string> words;
    for (auto& word : config::split_words(text.get<std::string>())) {
        words.push_back(std::move(word.text));
    }
    if (words.empty()) refuse("bad-value", "the message has no words");
    return {.body = dump(
                {{"text", asked.live.message(asked.name, sector.get<std::uint64_t>(), words)}})};
}

Response drop_client(const Asked& asked) {
    const auto id = config::parse_count(asked.name, UINT64_MAX);
    if (id && asked.live.drop_client(*id)) return {.body = dump({{"dropped", *id}})};
    return problem(404, "no-such-client", "there is no client " + config::in_quotes(asked.name));
}

Response problem(const BadTable& bad) {
    Json body = {{"type", "bad-table"}, {"title", "the table is not good"}};
    const Json errors = Json::parse(bad.found.json());
    if (!bad.found.all().empty()) {
        const config::Diagnostic& first = bad.found.all().front();
        body = {{"type", first.slug}, {"title", first.message}};
        const std::string& fix = first.label.empty() ? first.help : first.label;
        if (!fix.empty()) body["detail"] = fix;
        if (first.line > 0) {
            body["file"] = first.file;
            body["line"] = first.line;
            body["column"] = first.column;
        }
    }
    body["status"] = unprocessable;
    body["errors"] = errors;
    body["report"] = bad.found.human();
    return {.status = unprocessable, .type = "application/problem+json", .body = dump(body)};
}

Response problem(const dmcore::TableError& error) {
    Json body = {{"type", error.slug}, {"title", error.message}, {"status", unprocessable}};
    if (!error.help.empty()) body["detail"] = error.help;
    if (error.word >= 0) body["word"] = error.word;
    return {.status = unprocessable, .type = "application/problem+json", .body = dump(body)};
}

}  // namespace server::control
