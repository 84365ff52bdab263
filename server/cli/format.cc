#include "server/cli/format.h"

#include <algorithm>

#include "config/values.h"
#include "server/cli/console.h"

namespace server::cli {
namespace {

/// As in dmsetup: Live table, Inactive table, suspended, read or write.
std::string stat_letters(const Json& device) {
    std::string letters = "---w";
    if (device.at("live_table").get<bool>()) letters[0] = 'L';
    if (device.at("inactive_table").get<bool>()) letters[1] = 'I';
    if (device.at("suspended").get<bool>()) letters[2] = 's';
    if (device.at("read_only").get<bool>()) letters[3] = 'r';
    return letters;
}

std::string tables_present(const Json& device) {
    const bool live = device.at("live_table").get<bool>();
    const bool inactive = device.at("inactive_table").get<bool>();
    if (live && inactive) return "LIVE & INACTIVE";
    if (live) return "LIVE";
    return inactive ? "INACTIVE" : "None";
}

std::string info_block(const Json& device) {
    const bool suspended = device.at("suspended").get<bool>();
    const auto size = device.at("size_sectors").get<std::uint64_t>();
    const auto uuid = device.at("uuid").get<std::string>();
    std::string text;
    text += "Name:              " + device.at("name").get<std::string>() + "\n";
    text += std::string("State:             ") + (suspended ? "SUSPENDED" : "ACTIVE") +
            (device.at("read_only").get<bool>() ? " (READ-ONLY)\n" : "\n");
    text += "Tables present:    " + tables_present(device) + "\n";
    text += "Open count:        " + count_text(device.at("open_count")) + "\n";
    text += "Event number:      " + count_text(device.at("event_number")) + "\n";
    text += "Number of targets: " + count_text(device.at("targets")) + "\n";
    if (!uuid.empty()) text += "UUID: " + printable(uuid) + "\n";
    text += "Size:              " + config::sectors_text(size) + " (" + std::to_string(size) +
            " sectors)\n";
    return text;
}

/// Columns that a terminal takes for UTF-8 text without wide or combining characters.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char letter) { return (static_cast<unsigned char>(letter) & 0xc0) != 0x80; }));
}

}  // namespace

std::string count_text(const Json& number) {
    return std::to_string(number.get<std::uint64_t>());
}

std::string columns(const std::vector<std::vector<std::string>>& rows, std::string_view align) {
    std::vector<std::size_t> widths(align.size(), 0);
    for (const auto& row : rows) {
        for (std::size_t at = 0; at < row.size(); ++at) {
            widths[at] = std::max(widths[at], width(row[at]));
        }
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t at = 0; at < row.size(); ++at) {
            if (at > 0) line += at == 1 ? "  " : " ";
            const std::string fill(widths[at] - width(row[at]), ' ');
            line += align[at] == 'r' ? fill + row[at] : row[at] + fill;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + '\n';
    }
    return text;
}

std::string info_columns(const Json& devices) {
    std::vector<std::vector<std::string>> rows = {
        {"Name", "Stat", "Open", "Targ", "Event", "Infl", "Requeue", "Retried", "Size"}};
    for (const Json& device : devices) {
        rows.push_back({printable(device.at("name").get<std::string>()), stat_letters(device),
                        count_text(device.at("open_count")), count_text(device.at("targets")),
                        count_text(device.at("event_number")), count_text(device.at("in_flight")),
                        count_text(device.at("stage_one")), count_text(device.at("retried")),
                        config::sectors_text(device.at("size_sectors"))});
    }
    return columns(rows, "llrrrrrrl");
}

std::string info_blocks(const Json& devices) {
    std::string text;
    for (const Json& device : devices) {
        text += (text.empty() ? "" : "\n") + info_block(device);
    }
    return text;
}

std::string exports_text(const Json& exports) {
    std::vector<std::vector<std::string>> rows = {
        {"Export", "Device", "Size", "Mode", "Clients", "Data", "Description"}};
    for (const Json& served : exports) {
        const auto name = served.at("name").get<std::string>();
        rows.push_back({name.empty() ? "(default)" : printable(name),
                        printable(served.at("device").get<std::string>()),
                        config::size_text(served.at("size_bytes")),
                        served.at("read_only").get<bool>() ? "ro" : "rw",
                        count_text(served.at("connections")),
                        served.at("volatile").get<bool>() ? "until exit" : "kept",
                        printable(served.at("description").get<std::string>())});
    }
    return columns(rows, "llllrll");
}

std::string export_block(const Json& served) {
    std::string text = exports_text(Json::array({served})) + '\n';
    std::vector<std::vector<std::string>> rows;
    for (const std::string name : {"flush", "fua", "multi_conn", "trim", "zero", "fast_zero"}) {
        const Json& offer = served.at("offers").at(name);
        rows.push_back({name, offer.at("offered").get<bool>() ? "yes" : "no",
                        printable(offer.at("why").get<std::string>())});
    }
    text += columns(rows, "lll") + "\nstores in x-dmnbd:map:";
    std::size_t number = 0;
    for (const Json& store : served.at("map_stores")) {
        text += ' ' + std::to_string(++number) + '=' + printable(store.get<std::string>());
    }
    return text + (number == 0 ? " none\n" : "\n");
}

std::string clients_text(const Json& clients) {
    std::vector<std::vector<std::string>> rows = {{"Id", "Address", "Export", "Infl", "State"}};
    for (const Json& client : clients) {
        const Json& served = client.at("export");
        const auto name = served.is_null() ? "-" : served.get<std::string>();
        rows.push_back(
            {count_text(client.at("id")), printable(client.at("peer").get<std::string>()),
             name.empty() ? "(default)" : printable(name), count_text(client.at("in_flight")),
             client.at("closing").get<bool>() ? "closing"
             : served.is_null()               ? "negotiating"
                                              : "serving"});
    }
    return columns(rows, "rllrl");
}

std::string deps_text(const Json& names) {
    std::string text = std::to_string(names.size()) + " dependencies\t:";
    for (const Json& name : names) text += " (" + printable(name.get<std::string>()) + ")";
    return text;
}

std::string prefixed(const std::string& text, const std::string& prefix) {
    std::string result;
    std::size_t start = 0;
    do {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        result += prefix;
        result.append(text, start, end - start) += '\n';
        start = end + 1;
    } while (start < text.size());
    return result;
}

std::vector<std::string> rows_dm_cannot_say(const std::string& dm, const Json& rows) {
    std::vector<std::string> found;
    std::size_t start = 0;
    for (const Json& row : rows) {
        const std::size_t end = std::min(dm.find('\n', start), dm.size());
        std::string line = count_text(row.at("start")) + " " + count_text(row.at("length")) + " " +
                           row.at("target").get<std::string>() + " " +
                           row.at("args").get<std::string>();  // The space even if there is none.
        if (dm.compare(start, end - start, line) != 0) found.push_back(std::move(line));
        start = std::min(end + 1, dm.size());
    }
    return found;
}

}  // namespace server::cli
