#include "config/load_table.h"

#include <algorithm>

#include "config/checks.h"
#include "config/document.h"
#include "config/section.h"
#include "config/segments.h"

namespace config {
namespace {

constexpr std::string_view text_keys[] = {"table", "map"};

void read_segments(Context& context, const std::shared_ptr<const Source>& source, DeviceSpec& to) {
    const auto document = Document::parse(source, context.found);
    if (!document) return;
    const Section section(context, document->root(), "the text", text_keys);
    if (section.is_map()) read_table(context, section, to);
}

/// As if the lines stood in a table file below `table: |`, on its first line.
void read_dm(Context& context, const std::shared_ptr<const Source>& source, DeviceSpec& to) {
    Node lines;
    lines.kind = Node::Kind::scalar;
    lines.style = Node::Style::literal;
    lines.position = to.position;
    lines.text = source->text();
    Node root;
    root.kind = Node::Kind::map;
    root.entries.push_back({"table", to.position, &lines});
    read_table(context, Section(context, root, "the text", text_keys), to);
}

/// The device comes first, so that a cycle is told from there.
Spec surroundings_of(DeviceSpec device, const std::vector<Standing>& standing) {
    Spec spec;
    spec.devices.push_back(std::move(device));
    for (const Standing& each : standing) {
        if (!each.is_device) {
            spec.stores.emplace_back().name = each.name;
        } else if (each.name != spec.devices.front().name) {
            DeviceSpec& other = spec.devices.emplace_back();
            other.name = each.name;
            other.below = each.below;
        }
    }
    return spec;
}

}  // namespace

std::optional<LoadedTable> load_table(const DeviceSpec& device, const TableText& table,
                                      const std::vector<Standing>& standing, Diagnostics& found) {
    const auto source = std::make_shared<const Source>("table", table.text);
    DeviceSpec read = device;
    read.rows.clear();
    read.below.clear();
    read.place = {};
    read.position = {source.get(), 0, 0, 0};
    Context context{found, [](const std::string&) { return std::optional<std::string>(); }};
    if (table.form == TableText::Form::dm)
        read_dm(context, source, read);
    else
        read_segments(context, source, read);
    if (read.rows.empty()) return std::nullopt;

    Spec spec = surroundings_of(std::move(read), standing);
    Checking checking{spec, found, {}};
    for (const Standing& each : standing) {
        if (each.name != device.name) checking.limits.emplace(each.name, each.limits);
    }
    check_references(checking);
    check_order(checking);
    DeviceSpec& checked = spec.devices.front();
    const auto& order = spec.build_order;
    if (std::find(order.begin(), order.end(), 0U) == order.end()) return std::nullopt;
    if (complete_rows(checking, checked)) {
        check_block_size(checking, checked);
        try_table(checking, checked);
    }
    found.sort();
    if (!found.ok()) return std::nullopt;
    return LoadedTable{source, std::move(checked)};
}

}  // namespace config
