#include "config/diff.h"

#include <algorithm>

#include "config/named.h"
#include "config/print.h"
#include "config/values.h"

namespace config {
namespace {

using Kind = Change::Kind;
using Risk = Change::Risk;

std::string arrow(const std::string& from, const std::string& to) {
    return from + " -> " + to;
}

/// "a: 1 -> 2, b: x -> y" of what differs in two lists of named values.
class Differences {
  public:
    void add(std::string_view name, const std::string& from, const std::string& to) {
        if (from == to) return;
        text_ += (text_.empty() ? "" : ", ") + std::string(name) + ": " +
                 arrow(from.empty() ? "none" : from, to.empty() ? "none" : to);
    }
    void add(std::string_view name, bool from, bool to) {
        add(name, std::string(from ? "true" : "false"), std::string(to ? "true" : "false"));
    }
    const std::string& text() const { return text_; }

  private:
    std::string text_;
};

std::string store_summary(const StoreSpec& store) {
    const std::string size = sectors_text(store.size_sectors);
    const std::string place = store.path + store.uri;
    return std::string(name_of(store.type)) + ' ' + (place.empty() ? "" : place + ' ') + size;
}

/// Does it go on with the bytes that the other has?
bool same_bytes(const StoreSpec& a, const StoreSpec& b) {
    if (a.type != b.type) return false;
    if (a.type == StoreSpec::Type::memory) return a.name == b.name;
    return a.path == b.path && a.uri == b.uri;
}

/// What became of one segment that still has its target.
std::string segment_text(const dmcore::RowSpec& from, const dmcore::RowSpec& to) {
    Differences found;
    found.add("length", sectors_text(from.sectors), sectors_text(to.sectors));
    const dmcore::TargetType* type = dmcore::find_target_type(to.target);
    const auto old_names = named_arguments(*type, from.words);
    const auto new_names = named_arguments(*type, to.words);
    if (!old_names || !new_names) {
        return found.text().empty() ? "other arguments" : found.text();
    }
    for (const dmcore::ArgSpec& spec : type->args) {
        const std::string absent(spec.kind == dmcore::ArgSpec::Kind::features ? ""
                                                                              : spec.if_absent);
        const auto value = [&](const std::vector<NamedArgument>& names) {
            const auto found_one = std::ranges::find(names, spec.name, &NamedArgument::name);
            return found_one == names.end() ? absent : found_one->value;
        };
        found.add(spec.name, value(*old_names), value(*new_names));
    }
    return found.text().empty() ? "moved" : found.text();
}

std::string segments(std::size_t count) {
    return std::to_string(count) + (count == 1 ? " segment" : " segments");
}

std::string rows_text(const std::vector<dmcore::RowSpec>& from,
                      const std::vector<dmcore::RowSpec>& to) {
    if (from.size() != to.size()) return arrow(segments(from.size()), segments(to.size()));
    std::size_t changed = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < from.size(); ++i) {
        if (from[i] == to[i]) continue;
        ++changed;
        last = i;
    }
    if (changed > 1) return std::to_string(changed) + " of " + segments(from.size());
    const std::string place = from.size() == 1 ? "" : "segment " + std::to_string(last + 1) + ": ";
    const dmcore::RowSpec& old_row = from[last];
    const dmcore::RowSpec& new_row = to[last];
    return place + (old_row.target == new_row.target ? segment_text(old_row, new_row)
                                                     : arrow(old_row.target, new_row.target));
}

std::string policy_text(const DeviceSpec& device) {
    return device.retry == dmcore::transient_retry() ? "transient" : retry_text(device.retry);
}

class Differ {
  public:
    Differ(const Spec& live, const Spec& wanted, const Clients& clients)
        : live_(live), wanted_(wanted), clients_(clients) {}

    std::vector<Change> run() {
        each(live_.devices, wanted_.devices, "device");
        each(live_.stores, wanted_.stores, "store");
        each(live_.exports, wanted_.exports, "export");
        listeners();
        top_keys();
        return std::move(changes_);
    }

  private:
    template <class Item>
    void each(const std::vector<Item>& live, const std::vector<Item>& wanted, const char* what) {
        for (const Item& item : wanted) {
            const auto found = std::ranges::find(live, item.name, &Item::name);
            if (found == live.end()) {
                add({Kind::add, what, item.name}, item);
            } else {
                change({Kind::change, what, item.name}, *found, item);
            }
        }
        for (const Item& item : live) {
            const auto found = std::ranges::find(wanted, item.name, &Item::name);
            if (found == wanted.end()) remove({Kind::remove, what, item.name}, item);
        }
    }

    void add(Change found, const StoreSpec& store) {
        found.summary = store_summary(store);
        const auto old = std::ranges::find_if(live_.stores, [&](const StoreSpec& one) {
            return store.type == StoreSpec::Type::file && same_bytes(one, store);
        });
        if (old != live_.stores.end()) found.effect = "open already as " + old->name;
        put(std::move(found));
    }
    void change(Change found, const StoreSpec& from, const StoreSpec& to) {
        if (!same_bytes(from, to)) {
            found.summary = arrow(store_summary(from), store_summary(to));
            if (from.type == StoreSpec::Type::memory) loses_data(found);
            put(std::move(found));
            return;
        }
        Differences list;
        list.add("size", sectors_text(from.size_sectors), sectors_text(to.size_sectors));
        list.add("create", from.create, to.create);
        list.add("discard",
                 std::string(from.discard == StoreSpec::Discard::punch ? "punch" : "ignore"),
                 std::string(to.discard == StoreSpec::Discard::punch ? "punch" : "ignore"));
        list.add("engine", std::string(name_of(from.engine)), std::string(name_of(to.engine)));
        list.add("direct", from.direct, to.direct);
        list.add("connections", std::to_string(from.connections), std::to_string(to.connections));
        list.add("reconnect", duration_text(from.reconnect), duration_text(to.reconnect));
        list.add("trust_restart", from.trust_restart, to.trust_restart);
        list.add("timeout", duration_text(from.timeout), duration_text(to.timeout));
        list.add("tls", remote_tls_text(from.tls), remote_tls_text(to.tls));
        found.summary = list.text();
        const bool resized = from.size_sectors != to.size_sectors;
        if (resized && from.type == StoreSpec::Type::memory) loses_data(found);
        if (!found.summary.empty()) put(std::move(found));
    }
    void remove(Change found, const StoreSpec& store) {
        found.summary = store_summary(store);
        if (store.type == StoreSpec::Type::memory) {
            loses_data(found);
        } else {
            found.effect =
                store.type == StoreSpec::Type::file ? "the file stays" : "its bytes stay";
        }
        put(std::move(found));
    }
    static void loses_data(Change& found) {
        found.risk = Risk::data_loss;
        found.effect = "LOSES DATA: apply needs --allow-data-loss";
    }

    void add(Change found, const DeviceSpec& device) {
        found.summary = segments(device.rows.size()) + ", " + sectors_text(device.size_sectors);
        put(std::move(found));
    }
    void change(Change found, const DeviceSpec& from, const DeviceSpec& to) {
        Differences list;
        list.add("size", sectors_text(from.size_sectors), sectors_text(to.size_sectors));
        list.add("read_only", from.read_only, to.read_only);
        list.add("block_size", std::to_string(from.block_bytes), std::to_string(to.block_bytes));
        list.add("retry", policy_text(from), policy_text(to));
        list.add("uuid", from.uuid, to.uuid);
        found.summary = list.text();
        const std::string below = other_below(to);
        if (from.rows != to.rows || !below.empty()) {
            std::string what = from.rows == to.rows ? below : rows_text(from.rows, to.rows);
            found.summary = what + (found.summary.empty() ? "" : ", " + found.summary);
            found.effect = "swap while suspended" + waiting(to.name);
        }
        if (from.size_sectors < to.size_sectors) {
            found.effect += "; clients see the size when they connect again";
        }
        if (from.size_sectors > to.size_sectors) {
            found.risk = Risk::shrink;
            found.effect = "SHRINKS: apply needs --allow-shrink while clients are connected" +
                           waiting(to.name);
        }
        if (!found.summary.empty()) put(std::move(found));
    }
    /// "; 1 client waits"
    std::string waiting(const std::string& device) const {
        const auto count = clients_.find(device);
        if (count == clients_.end() || count->second == 0) return {};
        return "; " + std::to_string(count->second) +
               (count->second == 1 ? " client waits" : " clients wait");
    }
    /// Names of what the device stands on that is another thing now, though it has its name.
    std::string other_below(const DeviceSpec& device) const {
        std::string text;
        for (const std::string& name : device.below) {
            const StoreSpec* from = live_.find_store(name);
            const StoreSpec* to = wanted_.find_store(name);
            const bool was_device = live_.find_device(name) != nullptr;
            const bool is_device = wanted_.find_device(name) != nullptr;
            const bool was = from != nullptr || was_device;
            const bool same = from != nullptr && to != nullptr ? same_device(*from, *to)
                                                               : was_device == is_device;
            if (was && !same) text += (text.empty() ? "" : ", ") + name + " changes below";
        }
        return text;
    }
    /// Does a store that changed to that go on as it was for what stands on it?
    static bool same_device(const StoreSpec& from, const StoreSpec& to) {
        return same_bytes(from, to) && same_use(from, to);
    }
    void remove(Change found, const DeviceSpec& device) {
        found.summary = sectors_text(device.size_sectors);
        put(std::move(found));
    }

    void add(Change found, const ExportSpec& one) {
        found.summary = one.device;
        put(std::move(found));
    }
    void change(Change found, const ExportSpec& from, const ExportSpec& to) {
        Differences list;
        list.add("device", from.device, to.device);
        list.add("read_only", from.read_only, to.read_only);
        list.add("description", from.description, to.description);
        const auto bound = [](std::uint32_t count) {
            return count == 0 ? std::string() : std::to_string(count);
        };
        list.add("max_connections", bound(from.max_connections), bound(to.max_connections));
        list.add("allow", allow_text(from.allow), allow_text(to.allow));
        list.add("tls", std::string(name_of(from.tls)), std::string(name_of(to.tls)));
        found.summary = list.text();
        found.effect = "for new connections";
        if (!found.summary.empty()) put(std::move(found));
    }
    void remove(Change found, const ExportSpec& one) {
        found.summary = one.device;
        found.effect = "clients have " + duration_text(wanted_.reload.drain) + " to leave";
        put(std::move(found));
    }

    void listeners() {
        for (const ListenSpec& one : wanted_.listen) {
            const auto old = std::ranges::find(live_.listen, one.uri, &ListenSpec::uri);
            if (old == live_.listen.end()) {
                put({Kind::add, "listen", one.uri});
            } else if (old->exports != one.exports || old->tls != one.tls) {
                Differences list;
                list.add("tls", std::string(name_of(old->tls)), std::string(name_of(one.tls)));
                list.add("exports", offers_text(old->exports), offers_text(one.exports));
                put({Kind::change, "listen", one.uri, list.text(), "for new connections"});
            }
        }
        for (const ListenSpec& one : live_.listen) {
            const auto now = std::ranges::find(wanted_.listen, one.uri, &ListenSpec::uri);
            if (now != wanted_.listen.end()) continue;
            put({Kind::remove, "listen", one.uri, {}, "its connections stay"});
        }
    }
    static std::string offers_text(const std::vector<std::string>& exports) {
        std::string text;
        for (const std::string& name : exports) {
            text += (text.empty() ? "" : ", ") + (name.empty() ? std::string("\"\"") : name);
        }
        return exports.empty() ? "all" : '[' + text + ']';
    }

    void top_keys() {
        const auto differs = [&](const char* key, bool yes, const char* effect) {
            if (yes) put({Kind::change, key, {}, {}, effect});
        };
        if (!(live_.tls == wanted_.tls)) {
            put({Kind::change, "tls", {}, tls_text(live_.tls, wanted_.tls), "for new connections"});
        }
        differs("control", control(live_) != control(wanted_), "");
        differs("reload", !(live_.reload == wanted_.reload), "");
        differs("log", !(live_.log == wanted_.log), "");
        differs("data_roots", live_.data_roots != wanted_.data_roots, "");
        differs("seed", wanted_.seed && live_.seed != wanted_.seed,
                "for tables loaded from now on");
        differs("shards", live_.shards != wanted_.shards, "needs a restart");
    }
    static std::string tls_text(const TlsSpec& from, const TlsSpec& to) {
        Differences list;
        list.add("cert", from.cert_path, to.cert_path);
        list.add("key", from.key_path, to.key_path);
        list.add("ca", from.ca_path, to.ca_path);
        list.add("verify_peer", from.verify_peer, to.verify_peer);
        list.add("psk_file", from.psk_path, to.psk_path);
        return list.text().empty() ? "other content of its files" : list.text();
    }
    static std::string control(const Spec& spec) {
        Spec only;
        only.control = spec.control;
        return yaml_text(only);
    }

    void put(Change found) { changes_.push_back(std::move(found)); }

    const Spec& live_;
    const Spec& wanted_;
    const Clients& clients_;
    std::vector<Change> changes_;
};

/// `text` with spaces behind it.
std::string padded(std::string text, std::size_t width) {
    if (text.size() < width) text.append(width - text.size(), ' ');
    return text;
}

/// The default export has no name.
std::string name_of(const Change& change) {
    return change.name.empty() && change.what == "export" ? "\"\"" : change.name;
}

}  // namespace

std::vector<Change> diff(const Spec& live, const Spec& wanted, const Clients& clients) {
    return Differ(live, wanted, clients).run();
}

std::string plan_text(const std::vector<Change>& changes) {
    if (changes.empty()) return "no changes\n";
    constexpr std::string_view signs = "+~-";
    std::size_t counts[3] = {};
    std::size_t name_width = 0;
    std::size_t summary_width = 0;
    for (const Change& one : changes) {
        name_width = std::max(name_width, name_of(one).size());
        if (one.summary.size() <= 40) summary_width = std::max(summary_width, one.summary.size());
    }
    std::string text;
    for (const Change& one : changes) {
        const auto kind = static_cast<std::size_t>(one.kind);
        ++counts[kind];
        std::string line = std::string("  ") + signs[kind] + ' ' + padded(one.what, 7) +
                           padded(name_of(one), name_width) + "  " +
                           padded(one.summary, summary_width) + "  " + one.effect;
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + '\n';
    }
    return text + std::to_string(counts[0]) + " to add, " + std::to_string(counts[1]) +
           " to change, " + std::to_string(counts[2]) + " to remove\n";
}

}  // namespace config
