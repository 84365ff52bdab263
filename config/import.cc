#include "config/import.h"

#include <algorithm>
#include <map>
#include <memory>

#include "config/arguments.h"
#include "config/closest.h"
#include "config/dm_text.h"
#include "config/print.h"
#include "config/values.h"

namespace config {
namespace {

/// One line of dm's text, and whose it is.
struct Line {
    std::string device;
    std::string uuid;
    std::string text;
    std::uint32_t number = 0;  // In what was pasted, from 1.
};

std::vector<std::string> split(std::string_view text, char at) {
    std::vector<std::string> parts(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) {
            parts.back() += text.substr(i++, 2);
        } else if (text[i] == at) {
            parts.emplace_back();
        } else {
            parts.back() += text[i];
        }
    }
    return parts;
}

/// `name,uuid,minor,flags,table[,table]...[;name,...]`, as dmsetup create --concise takes it.
bool is_concise(std::string_view text) {
    const std::string_view line = text.substr(0, text.find('\n'));
    return std::ranges::count(line, ',') >= 4;
}

std::vector<Line> concise_lines(const std::string& text) {
    std::vector<Line> lines;
    std::string flat = text;
    flat.erase(std::remove(flat.begin(), flat.end(), '\n'), flat.end());
    for (const std::string& device : split(flat, ';')) {
        const std::vector<std::string> fields = split(device, ',');
        for (std::size_t i = 4; i < fields.size(); ++i) {
            lines.push_back({fields[0], fields[1], fields[i], 1});
        }
    }
    return lines;
}

/// `dmsetup table` puts "NAME: " in front, `dmsetup table NAME` does not.
std::vector<Line> plain_lines(const std::string& text) {
    std::vector<Line> lines;
    std::uint32_t number = 0;
    for (std::string& line : split(text, '\n')) {
        ++number;
        const std::size_t first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#') continue;
        const std::size_t colon = line.find(": ");
        const bool named = colon != std::string::npos && line.find(' ') > colon;
        lines.push_back({named ? line.substr(0, colon) : "pasted",
                         {},
                         named ? line.substr(colon + 2) : line,
                         number});
    }
    return lines;
}

/// A name that the table language takes.
std::string name_of(std::string_view text) {
    std::string name;
    for (const char letter : text) {
        const bool plain = std::isalnum(static_cast<unsigned char>(letter)) != 0 ||
                           std::string_view("_.+-").find(letter) != std::string_view::npos;
        name += plain ? letter : '_';
    }
    const bool letter_first =
        !name.empty() && std::isalnum(static_cast<unsigned char>(name[0])) != 0;
    return letter_first ? name : 'd' + name;
}

class Importer {
  public:
    Importer(const std::string& text, Diagnostics& found)
        : source_(std::make_shared<const Source>("stdin", text)), found_(found) {}

    std::optional<std::string> run() {
        const std::string& text = source_->text();
        const std::vector<Line> lines = is_concise(text) ? concise_lines(text) : plain_lines(text);
        for (const Line& line : lines) device_of(line);
        for (const Line& line : lines) add(line);
        if (lines.empty()) {
            found_.error({}, {"empty-table",
                              "there is no table on standard input",
                              {},
                              "dmsetup table | dmnbd import"});
        }
        if (!found_.ok()) return std::nullopt;
        return print();
    }

  private:
    Position place(const Line& line) const {
        const std::string_view whole = source_->line(line.number);
        return {source_.get(), line.number, 1, static_cast<std::uint32_t>(whole.size())};
    }

    DeviceSpec& device_of(const Line& line) {
        const std::string name = name_of(line.device);
        const auto known = std::ranges::find(spec_.devices, name, &DeviceSpec::name);
        if (known != spec_.devices.end()) return *known;
        DeviceSpec& device = spec_.devices.emplace_back();
        device.name = name;
        device.uuid = line.uuid;
        device.retry = dmcore::transient_retry();
        return device;
    }

    void add(const Line& line) {
        DmTable table = parse_dm_text(line.text);
        for (const TextFault& fault : table.faults) {
            found_.error(place(line), {fault.why.slug, fault.why.message, {}, fault.why.help});
        }
        for (dmcore::RowSpec& row : table.rows) {
            const dmcore::TargetType* type = dmcore::find_target_type(row.target);
            if (type == nullptr) {
                unknown_target(line, row.target);
                continue;
            }
            stand_on(*type, row);
            device_of(line).rows.push_back(std::move(row));
        }
    }

    void unknown_target(const Line& line, const std::string& target) {
        std::vector<std::string_view> known;
        for (const auto* type : dmcore::target_types()) known.push_back(type->name);
        found_.error(place(line), {"unknown-target", "there is no target " + in_quotes(target),
                                   did_you_mean(target, known), "dmnbd targets lists them all"});
    }

    /// Replaces the names of what the row stands on by ours.
    void stand_on(const dmcore::TargetType& type, dmcore::RowSpec& row) {
        const Legs legs = find_legs(type, row.words);
        for (const Leg& leg : legs.list) {
            std::string& word = row.words[leg.word];
            std::string_view plain = word;
            if (plain.starts_with(mapper_folder)) plain.remove_prefix(mapper_folder.size());
            const std::string name = name_of(plain);
            const bool device =
                std::ranges::find(spec_.devices, name, &DeviceSpec::name) != spec_.devices.end();
            if (!device) {
                std::uint64_t& sectors = stores_[name];
                sectors = std::max(sectors, end_of(legs, leg, row));
                called_[name] = word;
            }
            word = name;
        }
    }

    /// Where the row's part of that leg ends. A store that can't be is for check to refuse.
    static std::uint64_t end_of(const Legs& legs, const Leg& leg, const dmcore::RowSpec& row) {
        const std::uint64_t part = legs.striped ? row.sectors / legs.list.size() : row.sectors;
        const auto whole = checked_multiply(part, legs.shares);
        const auto end = whole ? checked_add(*whole, leg.offset_sectors.value_or(0)) : whole;
        return std::min(end.value_or(UINT64_MAX), dmcore::table_sectors_max);
    }

    std::string print() {
        for (const auto& [name, sectors] : stores_) {
            StoreSpec& store = spec_.stores.emplace_back();
            store.name = name;
            store.type = StoreSpec::Type::file;
            store.path = name + ".img";
            store.size_sectors = sectors;
            store.size_given = store.create = true;
        }
        for (const DeviceSpec& device : spec_.devices) {
            ExportSpec& one = spec_.exports.emplace_back();
            one.name = one.device = device.name;
        }
        std::string text = "# From dm table text.";
        if (!called_.empty()) text += " Put the right files or devices in these places:";
        text += '\n';
        for (const auto& [name, word] : called_) {
            text.append("#   ").append(name).append(" was ").append(word).append("\n");
        }
        return text + yaml_text(spec_);
    }

    std::shared_ptr<const Source> source_;
    Diagnostics& found_;
    Spec spec_;
    std::map<std::string, std::uint64_t> stores_;  // Sectors that each needs.
    std::map<std::string, std::string> called_;    // In the text.
};

}  // namespace

std::optional<std::string> import_dm(const std::string& text, Diagnostics& found) {
    return Importer(text, found).run();
}

}  // namespace config
