#include "server/cli/format.h"

namespace server::cli {
namespace {

using dmcore::ArgSpec;
using dmcore::FeatureSpec;
using dmcore::TargetType;

std::string_view value_of(ArgSpec::Kind kind) {
    switch (kind) {
        case ArgSpec::Kind::device: return "name of a store or device";
        case ArgSpec::Kind::sectors: return "size, or bare sectors";
        case ArgSpec::Kind::bytes: return "size";
        case ArgSpec::Kind::seconds: return "duration; in dm text seconds";
        case ArgSpec::Kind::milliseconds: return "duration; in dm text milliseconds";
        case ArgSpec::Kind::count: return "number";
        case ArgSpec::Kind::devices: return "list of names, or of {device: NAME, offset: SIZE}";
        case ArgSpec::Kind::devices_count: return "how many devices; in dm text only";
        case ArgSpec::Kind::features: return "list of:";
        case ArgSpec::Kind::flag: return "true or false; not in dm text";
        case ArgSpec::Kind::ranges: return "list such as [60, 100-199]; not in dm text";
    }
    return {};
}

std::string feature_text(const FeatureSpec& feature) {
    std::string text = "    " + std::string(feature.name);
    if (feature.rate) return text + ": RATE, such as 10%\n";
    if (feature.values.empty()) return text + "\n";
    text += ": {";
    for (const std::string_view value : feature.values) {
        text += (value == feature.values.front() ? "" : ", ") + std::string(value);
    }
    return text + "}\n";
}

}  // namespace

std::string targets_text(std::span<const TargetType* const> types) {
    std::vector<std::vector<std::string>> rows;
    for (const TargetType* type : types) {
        rows.push_back({std::string(type->name), "v" + std::string(type->version),
                        " " + std::string(type->summary)});
    }
    return columns(rows, "lll");
}

std::string target_text(const TargetType& type) {
    std::string text = std::string(type.name) + " v" + std::string(type.version) + ": " +
                       std::string(type.summary) + "\n";
    if (type.args.empty()) return text + "It takes no arguments.\n";
    text += "Arguments, in the order of dm text; in a table file by name:\n";
    for (const ArgSpec& arg : type.args) {
        text += "  " + std::string(arg.name) + ": " + std::string(value_of(arg.kind));
        if (arg.kind == ArgSpec::Kind::features) {
            text += "\n";
            for (const FeatureSpec& feature : type.features) text += feature_text(feature);
            continue;
        }
        if (arg.group > 0) text += ", may be left out with what follows";
        if (!arg.if_absent.empty()) text += " (" + std::string(arg.if_absent) + ")";
        text += "\n";
    }
    return text;
}

}  // namespace server::cli
