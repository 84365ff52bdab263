#include "config/segments.h"

#include <unordered_map>

#include "config/arguments.h"
#include "config/closest.h"
#include "config/dm_text.h"
#include "dmcore/registry.h"

namespace config {
namespace {

constexpr std::string_view segment_keys[] = {"start", "length", "target", "args"};

Value<std::uint64_t> sectors_value(std::string_view text) {
    return parse_sectors(text, Bare::sectors);
}

/// Word `index` of a line of pasted text, where it stands in the file; past the end: the whole
/// line.
Position word_of_text(const Position& table, std::uint32_t line_number, std::size_t index) {
    Position at{table.source, line_number, 1, 1};
    std::string_view line = table.source->line(line_number);
    if (line_number == table.line) {  // On the line of the key: a plain or quoted scalar.
        const bool quote = line.substr(table.column - 1).find_first_of("\"'") == 0;
        at.column = table.column + (quote ? 1 : 0);
        line = line.substr(at.column - 1, table.length - (quote ? 2 : 0));
    }
    const std::vector<Word> words = split_words(line);
    if (words.empty()) return table;
    const Word& word = words[index < words.size() ? index : 0];
    const Word& last = index < words.size() ? word : words.back();
    at.column += static_cast<std::uint32_t>(word.offset);
    at.length = static_cast<std::uint32_t>(last.offset + last.length - word.offset);
    return at;
}

class TableReader {
  public:
    TableReader(Context& context, DeviceSpec& to)
        : context_(context), to_(to), what_("device '" + to.name + "'") {}

    void read_map(const Node* map) {
        if (map == nullptr) return;
        if (map->kind != Node::Kind::map) {
            context_.found.error(map->position, {"wrong-kind",
                                                 what_ + ": map is not a map",
                                                 {},
                                                 "write it like map: { \"253:0\": NAME }"});
            return;
        }
        for (const Node::Entry& entry : map->entries) {
            const std::string subject = what_ + ": map of " + in_quotes(entry.key);
            if (auto name = context_.read(*entry.value, subject, parse_name)) {
                names_[entry.key] = std::move(*name);
            }
        }
    }

    void read_segments(const Node& list) {
        if (list.items.empty()) no_rows();
        for (const Node* item : list.items) read_segment(*item);
    }

    void read_text(const Node& node) {
        const auto text = context_.text(node, what_ + ": table");
        if (!text) return;
        if (node.style == Node::Style::folded) {
            context_.found.error(node.position, {"folded-text",
                                                 what_ + ": '>' joins the lines of the table",
                                                 {},
                                                 "write '|' instead"});
            return;
        }
        DmTable table = parse_dm_text(*text);
        // The lines of a block begin below its '|'; any other scalar is taken to be on one line.
        const auto line_of = [&](std::size_t line) {
            const bool block = node.style == Node::Style::literal;
            return node.position.line + (block ? static_cast<std::uint32_t>(line) + 1 : 0);
        };
        for (const TextFault& fault : table.faults) {
            context_.error(word_of_text(node.position, line_of(fault.line), fault.word),
                           what_ + ':', fault.why);
        }
        if (!table.faults.empty()) return;
        if (table.rows.empty()) no_rows();
        for (std::uint32_t& line : table.lines) line = line_of(line);
        to_.rows = std::move(table.rows);
        to_.place.text_lines = std::move(table.lines);
        for (std::size_t i = 0; i < to_.rows.size(); ++i) {
            const auto* type = dmcore::find_target_type(to_.rows[i].target);
            if (type != nullptr)
                rename_devices(to_.rows[i], *type);
            else if (context_.found.errors() < Diagnostics::errors_max)
                unknown_target(i);
        }
    }

  private:
    void no_rows() {
        context_.found.error(
            to_.place.table,
            {"empty-table", what_ + " has no segments", {}, "a table needs at least one"});
    }

    void unknown_target(std::size_t row) {
        const std::string& name = to_.rows[row].target;
        std::vector<std::string_view> names;
        for (const auto* each : dmcore::target_types()) names.push_back(each->name);
        const Position at = to_.place.of(static_cast<int>(row), dmcore::TableError::none,
                                         dmcore::TableError::Part::target);
        context_.found.error(at, {"unknown-target", "there is no target " + in_quotes(name),
                                  did_you_mean(name, names), "dmnbd targets lists them all"});
    }

    /// A segment that is wrong leaves a row without a target behind, so that the rest can be
    /// judged.
    void read_segment(const Node& node) {
        const Section segment(context_, node, what_ + ": a segment", segment_keys);
        dmcore::RowSpec& row = to_.rows.emplace_back();
        SegmentPlace& place = to_.place.segments.emplace_back();
        place.row = node.position;
        if (!segment.require("target", node.position, "write target: linear, or another")) return;
        place.target = segment.find("target")->position;
        const bool placed = read_sectors(segment, "start", row.start_sector, place.start) &&
                            read_sectors(segment, "length", row.sectors, place.length);
        const auto target = segment.text("target");
        if (!target) return;
        row.target = *target;
        const auto* type = dmcore::find_target_type(row.target);
        if (type == nullptr) return unknown_target(to_.rows.size() - 1);
        const Node* args = segment.find("args");
        place.args = args == nullptr ? place.target : args->position;
        auto arguments = read_arguments(context_, args, *type, place.args, what_);
        if (!placed || !arguments) return row.target.clear();
        row.words = std::move(arguments->words);
        place.words = std::move(arguments->places);
        rename_devices(row, *type);
    }

    bool read_sectors(const Section& segment, std::string_view key, std::uint64_t& to,
                      Position& at) {
        const Node* node = segment.find(key);
        if (node == nullptr) return true;
        const auto sectors = segment.read(key, sectors_value);
        if (!sectors) return false;
        to = *sectors;
        at = node->position;
        return true;
    }

    /// Replaces what pasted text calls a device by what it is called here.
    void rename_devices(dmcore::RowSpec& row, const dmcore::TargetType& type) const {
        for (const Leg& leg : find_legs(type, row.words).list) {
            std::string& name = row.words[leg.word];
            const auto mapped = names_.find(name);
            if (mapped != names_.end()) {
                name = mapped->second;
            } else if (name.starts_with(mapper_folder)) {
                name.erase(0, mapper_folder.size());
            }
        }
    }

    Context& context_;
    DeviceSpec& to_;
    std::string what_;
    std::unordered_map<std::string, std::string> names_;
};

}  // namespace

Position TablePlace::of(int row, int word, dmcore::TableError::Part part) const {
    using Part = dmcore::TableError::Part;
    const auto index = static_cast<std::size_t>(row);
    if (row >= 0 && index < text_lines.size()) {
        std::size_t of_line = part == Part::start    ? 0
                              : part == Part::length ? 1
                              : part == Part::target ? 2
                                                     : TextFault::whole_line;
        if (part == Part::args && word >= 0) of_line = 3 + static_cast<std::size_t>(word);
        return word_of_text(table, text_lines[index], of_line);
    }
    if (row < 0 || index >= segments.size()) return table;
    const SegmentPlace& place = segments[index];
    const auto or_row = [&](const Position& at) { return at.written() ? at : place.row; };
    switch (part) {
        case Part::start: return or_row(place.start);
        case Part::length: return or_row(place.length);
        case Part::target: return or_row(place.target);
        case Part::row: return place.row;
        case Part::args: break;
    }
    const auto number = static_cast<std::size_t>(word);
    return word >= 0 && number < place.words.size() ? place.words[number] : or_row(place.args);
}

void read_table(Context& context, const Section& device, DeviceSpec& to) {
    if (!device.require("table", to.position, "write table: [ { target: linear, args: ... } ]"))
        return;
    const Node& table = *device.find("table");
    to.place.table = table.position;
    TableReader reader(context, to);
    reader.read_map(device.find("map"));
    if (table.kind == Node::Kind::list)
        reader.read_segments(table);
    else
        reader.read_text(table);
}

}  // namespace config
