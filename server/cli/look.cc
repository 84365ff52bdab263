#include "config/closest.h"
#include "config/diagnostic.h"
#include "dmcore/registry.h"
#include "server/cli/exit.h"
#include "server/cli/format.h"
#include "server/cli/verbs.h"

namespace server::cli {
namespace {

constexpr int json_indent = 2;

void print(const Json& value, Console& console) {
    console.out << value.dump(json_indent) << '\n';
}

/// The named device, or all.
Json devices_asked_for(Client& client, const std::string& name) {
    if (!name.empty()) return Json::array({client.json(device_path(name))});
    return client.json("/v1/devices").at("devices");
}

std::vector<std::string> names_asked_for(Client& client, const std::string& name) {
    if (!name.empty()) return {name};
    std::vector<std::string> names;
    for (const Json& device : devices_asked_for(client, name)) names.push_back(device.at("name"));
    return names;
}

void note_none(const Json& devices, Console& console) {
    if (devices.empty()) console.note("there are no devices");
}

/// As in dmsetup: with a device named, its name is not repeated.
void print_text(const LookArgs& args, const std::string& name, const std::string& text,
                Console& console) {
    console.out << prefixed(text, args.name.empty() ? name + ": " : "");
}

std::string slot(const LookArgs& args) {
    return args.inactive ? "inactive&" : "";
}

Json json_of(const dmcore::TargetType& type) {
    Json args = Json::array();
    for (const dmcore::ArgSpec& arg : type.args) args.push_back(arg.name);
    return {{"name", type.name},
            {"version", type.version},
            {"summary", type.summary},
            {"args", std::move(args)}};
}

}  // namespace

int ls(const LookArgs& args, Console& console) {
    Client client(client_address(args.control));
    const Json devices = client.json("/v1/devices").at("devices");
    if (args.json || args.tree) {
        const Json stores = client.json("/v1/stores").at("stores");
        if (args.json)
            print({{"devices", devices}, {"stores", stores}}, console);
        else
            console.out << tree_text(devices, stores);
    } else {
        for (const Json& device : devices) {
            console.out << device.at("name").get<std::string>() << '\n';
        }
    }
    note_none(devices, console);
    return exits::done;
}

/// What is live, to be saved: of one device, or the whole file.
int table_yaml(const LookArgs& args, Client& client, Console& console) {
    const std::string path =
        args.name.empty() ? "/v1/config" : device_path(args.name) + "/table?format=yaml";
    console.out << printable_lines(client.text(path));
    return exits::done;
}

int table(const LookArgs& args, Console& console) {
    Client client(client_address(args.control));
    if (args.yaml) return table_yaml(args, client, console);
    Json all = Json::object();
    for (const std::string& name : names_asked_for(client, args.name)) {
        const std::string path = device_path(name) + "/table?" + slot(args) + "format=";
        const Json rows = client.json(path + "json").at("table");
        if (args.json) {
            all[name] = rows;
            continue;
        }
        const std::string dm = client.text(path + "dm");
        print_text(args, name, dm, console);
        for (const std::string& row : rows_dm_cannot_say(dm, rows)) {
            console.note(name + ": dm text can't say all of it; this row is: " + row);
        }
    }
    if (args.json) print(all, console);
    return exits::done;
}

int status(const LookArgs& args, Console& console) {
    Client client(client_address(args.control));
    Json all = Json::object();
    for (const std::string& name : names_asked_for(client, args.name)) {
        const std::string text = client.text(device_path(name) + "/status?" + slot(args));
        if (args.json)
            all[name] = text;
        else
            print_text(args, name, text, console);
    }
    if (args.json) print(all, console);
    return exits::done;
}

int deps(const LookArgs& args, Console& console) {
    Client client(client_address(args.control));
    Json all = Json::object();
    for (const std::string& name : names_asked_for(client, args.name)) {
        const Json names = client.json(device_path(name) + "/deps?" + slot(args)).at("deps");
        if (args.json)
            all[name] = names;
        else
            print_text(args, name, deps_text(names), console);
    }
    if (args.json) print(all, console);
    return exits::done;
}

int info(const LookArgs& args, Console& console) {
    Client client(client_address(args.control));
    const Json devices = devices_asked_for(client, args.name);
    if (args.json)
        print(args.name.empty() ? devices : devices.front(), console);
    else
        console.out << (args.columns ? info_columns(devices) : info_blocks(devices));
    note_none(devices, console);
    return exits::done;
}

int exports(const LookArgs& args, Console& console) {
    Client client(client_address(args.control));
    const Json served = client.json("/v1/exports").at("exports");
    if (args.name.empty()) {
        if (args.json)
            print(served, console);
        else
            console.out << exports_text(served);
        return exits::done;
    }
    for (const Json& one : served) {
        if (one.at("name") != args.name) continue;
        if (args.json)
            print(one, console);
        else
            console.out << export_block(one);
        return exits::done;
    }
    throw Failure(exits::no_such, "there is no export " + config::in_quotes(args.name),
                  "dmnbd exports lists them all");
}

int targets(const LookArgs& args, Console& console) {
    const auto types = dmcore::target_types();
    if (args.name.empty()) {
        Json list = Json::array();
        for (const dmcore::TargetType* type : types) list.push_back(json_of(*type));
        if (args.json)
            print(list, console);
        else
            console.out << targets_text(types);
        return exits::done;
    }
    const dmcore::TargetType* found = dmcore::find_target_type(args.name);
    if (found == nullptr) {
        std::vector<std::string_view> names;
        for (const dmcore::TargetType* type : types) names.push_back(type->name);
        const std::string meant = config::did_you_mean(args.name, names);
        throw Failure(exits::no_such, "there is no target " + config::in_quotes(args.name),
                      meant.empty() ? "dmnbd targets lists them all" : meant);
    }
    if (args.json)
        print(json_of(*found), console);
    else
        console.out << target_text(*found);
    return exits::done;
}

}  // namespace server::cli
