#include <map>
#include <set>

#include "config/values.h"
#include "server/cli/console.h"
#include "server/cli/format.h"

namespace server::cli {
namespace {

/// Draws one tree after the other.
class Tree {
  public:
    Tree(const Json& devices, const Json& stores) {
        for (const Json& store : stores) stores_[store.at("name")] = &store;
        for (const Json& device : devices) devices_[device.at("name")] = &device;
    }

    /// Adds `name` after `lead`, and all below it after `indent`.
    void draw(const std::string& name, const std::string& lead, const std::string& indent);
    std::string take() { return std::move(text_); }

  private:
    static std::string label(const Json& device);
    static std::string store_label(const Json& store);

    std::map<std::string, const Json*> devices_;
    std::map<std::string, const Json*> stores_;
    std::set<std::string> drawn_;
    std::string text_;
};

std::string Tree::label(const Json& device) {
    std::string text = device.at("name").get<std::string>() + " (" +
                       config::sectors_text(device.at("size_sectors")) + ")";
    const auto state = device.at("state").get<std::string>();
    if (!state.empty()) {
        std::string types;
        for (const Json& type : device.at("target_types")) {
            types += (types.empty() ? "" : "+") + type.get<std::string>();
        }
        text += " " + types + " " + state;
    }
    if (device.at("suspended").get<bool>()) text += " suspended";
    return printable(text);
}

std::string Tree::store_label(const Json& store) {
    std::string text =
        store.at("name").get<std::string>() + " [" + store.at("type").get<std::string>();
    const auto detail = store.at("detail").get<std::string>();
    if (!detail.empty()) text += " " + detail;
    text += " " + config::sectors_text(store.at("size_sectors"));
    if (!store.value("connected", true)) text += ", not connected";
    return printable(text + "]");
}

void Tree::draw(const std::string& name, const std::string& lead, const std::string& indent) {
    const auto device = devices_.find(name);
    if (device == devices_.end()) {
        const auto store = stores_.find(name);
        text_ += lead + (store == stores_.end() ? printable(name) : store_label(*store->second));
        text_ += '\n';
        return;
    }
    const Json& below = device->second->at("below");
    const bool again = !drawn_.insert(name).second;
    text_ += lead + label(*device->second) + (again && !below.empty() ? " (see above)\n" : "\n");
    if (again) return;
    for (std::size_t at = 0; at < below.size(); ++at) {
        const bool last = at + 1 == below.size();
        draw(below[at].at("name"), indent + (last ? "└─" : "├─"), indent + (last ? "   " : "│  "));
    }
}

}  // namespace

std::string tree_text(const Json& devices, const Json& stores) {
    std::set<std::string> stood_on;
    for (const Json& device : devices) {
        for (const Json& below : device.at("below")) stood_on.insert(below.at("name"));
    }
    Tree tree(devices, stores);
    for (const Json& device : devices) {
        const std::string name = device.at("name");
        if (!stood_on.contains(name)) tree.draw(name, "", " ");
    }
    return tree.take();
}

}  // namespace server::cli
