// Table files, and tables by themselves, from any bytes: what is found wrong can be shown and
// parsed; what is good, printed as YAML, loads again as the same.
#include <nlohmann/json.hpp>

#include "config/diff.h"
#include "config/encoding.h"
#include "config/import.h"
#include "config/load.h"
#include "config/load_table.h"
#include "config/print.h"
#include "fuzz/fuzz.h"
#include "fuzz/input.h"

namespace {

using namespace config;
using fuzz::must;

/// Of the machine it sees nothing but files that are not there.
Surroundings surroundings() {
    Surroundings around;
    around.variable = [](const std::string& name) -> std::optional<std::string> {
        if (name == "EMPTY") return "";
        if (name == "SIZE") return "4MiB";
        return std::nullopt;
    };
    around.forbids = [](const std::string& path) -> std::optional<std::string> {
        const bool here = path.starts_with("no-such-") && path.find('/') == std::string::npos;
        return here ? std::nullopt : std::optional<std::string>("is not for you");
    };
    around.remote_size = [](const StoreSpec& store) -> tl::expected<std::uint64_t, std::string> {
        if (store.uri.find("down") == std::string::npos) return 1ULL << 30;
        return tl::unexpected(std::string("it is down"));
    };
    return around;
}

/// No terminal is steered by it.
void check_text(const std::string& text) {
    const std::string_view all = text;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = character_bytes(all.substr(at));
        must(bytes > 0, "what is shown is UTF-8");
        must(text[at] == '\n' || !begins_with_control(all.substr(at)), "it has no controls");
        at += bytes;
    }
}

void check_found(const Diagnostics& found, bool good) {
    must(found.ok() == good, "either it loads or there is an error");
    const auto errors = std::ranges::count(found.all(), Severity::error, &Diagnostic::severity);
    must(static_cast<std::size_t>(errors) == std::min(found.errors(), Diagnostics::errors_max),
         "the first errors are all there");
    for (const Diagnostic& one : found.all()) {
        must(!one.slug.empty() && !one.message.empty(), "each says what is wrong");
    }
    check_text(found.human());
    check_text(found.brief());
    must(nlohmann::json::parse(found.json()).size() == found.all().size(), "all is in the JSON");
}

std::optional<Spec> load(const std::string& text) {
    Diagnostics found;
    auto spec = load_text("t.yaml", text, found, surroundings());
    check_found(found, spec.has_value());
    return spec;
}

bool same(const Spec& a, const Spec& b) {
    return a.seed == b.seed && a.shards == b.shards && a.data_roots == b.data_roots &&
           a.stores == b.stores && a.devices == b.devices && a.build_order == b.build_order &&
           a.exports == b.exports && a.listen == b.listen && a.control == b.control &&
           a.reload == b.reload && a.log == b.log;
}

void check_printed(const Spec& spec) {
    const std::string text = yaml_text(spec);
    fuzz::show(text);
    const auto again = load(text);
    if (!again) std::fprintf(stderr, "%s", text.c_str());
    must(again.has_value(), "what is printed loads");
    if (!same(*again, spec)) std::fprintf(stderr, "%s", plan_text(diff(spec, *again)).c_str());
    must(same(*again, spec), "what is printed means the same");
    must(yaml_text(*again) == text, "what is printed is printed alike again");
    must(diff(spec, *again).empty(), "nothing has changed");
}

/// Of one device over two stores and another device.
void check_table(TableText::Form form, const std::string& text) {
    DeviceSpec device;
    device.name = "disk";
    dmcore::Limits small;
    small.size_sectors = 2048;
    small.discard = true;
    dmcore::Limits large = small;
    large.size_sectors = 1ULL << 40;
    large.logical_block_bytes = 4096;
    const std::vector<Standing> standing = {{"a", false, small},
                                            {"b", false, large},
                                            {"lower", true, small, {"a"}},
                                            {"disk", true, small, {}}};
    Diagnostics found;
    const auto loaded = load_table(device, {form, text}, standing, found);
    check_found(found, loaded.has_value());
    if (!loaded) return;
    const std::string printed = "table:\n" + segments_text(loaded->device.rows, "  ");
    Diagnostics again_found;
    const auto again =
        load_table(device, {TableText::Form::segments, printed}, standing, again_found);
    check_found(again_found, again.has_value());
    if (!again) std::fprintf(stderr, "%s%s", printed.c_str(), again_found.human().c_str());
    must(again.has_value(), "a table that is printed loads");
    must(again->device.rows == loaded->device.rows, "it is the same table");
}

/// What dmsetup printed becomes a table file that is at least well-formed.
void check_import(const std::string& text) {
    Diagnostics found;
    const auto yaml = import_dm(text, found);
    check_found(found, yaml.has_value());
    if (yaml) load(*yaml);
}

}  // namespace

/// Text that begins with a byte below ' ' and no line end is something else than a table file.
int fuzz_table_file(std::span<const std::uint8_t> bytes) {
    fuzz::Input input(bytes);
    const std::uint8_t kind = bytes.empty() ? 0 : bytes.front();
    if (kind < 1 || kind > 3) {
        if (const auto spec = load(input.rest())) check_printed(*spec);
        return 0;
    }
    input.byte();
    if (kind == 1) check_table(TableText::Form::dm, input.rest());
    if (kind == 2) check_table(TableText::Form::segments, input.rest());
    if (kind == 3) check_import(input.rest());
    return 0;
}
