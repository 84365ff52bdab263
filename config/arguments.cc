#include "config/arguments.h"

#include <algorithm>
#include <limits>

#include "config/closest.h"
#include "config/dm_text.h"

namespace config {
namespace {

using dmcore::ArgSpec;
using dmcore::FeatureSpec;

constexpr auto count_max = std::numeric_limits<std::uint64_t>::max();

Value<std::string> sectors_word(std::string_view text) {
    return parse_sectors(text, Bare::sectors).map([](std::uint64_t n) {
        return std::to_string(n);
    });
}
Value<std::string> bytes_word(std::string_view text) {
    return parse_size(text, Bare::refused).map([](std::uint64_t n) { return std::to_string(n); });
}
Value<std::string> count_word(std::string_view text) {
    return parse_count(text, count_max).map([](std::uint64_t n) { return std::to_string(n); });
}
Value<std::string> rate_word(std::string_view text) {
    return parse_rate(text).map([](std::uint32_t n) { return std::to_string(n); });
}
Value<std::string> any_word(std::string_view text) {
    return std::string(text);
}

Value<std::int64_t> whole_milliseconds(std::string_view text) {
    const auto time = parse_duration(text);
    if (!time) return tl::unexpected(time.error());
    const std::int64_t ms = time->count() / 1'000'000;
    if (dmcore::Time(ms * 1'000'000) == *time) return ms;
    return tl::unexpected(ValueError{
        "bad-duration", in_quotes(text) + " is finer than a millisecond", "write it like 250ms"});
}
Value<std::string> milliseconds_word(std::string_view text) {
    return whole_milliseconds(text).map([](std::int64_t ms) { return std::to_string(ms); });
}
/// Whole seconds as dm has them; "500ms" is ours.
Value<std::string> seconds_word(std::string_view text) {
    return whole_milliseconds(text).map([](std::int64_t ms) {
        return ms % 1000 == 0 ? std::to_string(ms / 1000) : std::to_string(ms) + "ms";
    });
}

/// Words of ours that say by themselves what they are: as good as not there if not written.
bool is_ours(const ArgSpec& spec) {
    return spec.kind == ArgSpec::Kind::flag || spec.kind == ArgSpec::Kind::ranges;
}

std::size_t value_count(const FeatureSpec& feature) {
    return feature.rate ? 1 : feature.values.size();
}

/// Reads arguments written as a map.
class NamedArguments {
  public:
    NamedArguments(Context& context, const Node& node, const dmcore::TargetType& type,
                   const std::string& what)
        : context_(context),
          type_(type),
          what_(what + ": " + std::string(type.name)),
          names_(writable_names(type)),
          section_(context, node, what_, names_) {}

    Arguments read() {
        unsigned groups = 0;  // The last one of which something is written.
        for (const ArgSpec& spec : type_.args) {
            if (section_.find(spec.name) != nullptr) groups = std::max(groups, spec.group);
        }
        for (const ArgSpec& spec : type_.args) {
            const Node* value = section_.find(writable(spec).name);
            if (spec.group > groups || (value == nullptr && is_ours(spec))) continue;
            if (value != nullptr) {
                read_one(spec, *value);
            } else if (!spec.if_absent.empty()) {
                add(std::string(spec.if_absent), section_.position());
            } else if (spec.kind != ArgSpec::Kind::devices_count) {
                section_.require(spec.name, section_.position(),
                                 "in order: " + comma_separated(names_));
            }
        }
        return std::move(result_);
    }

  private:
    static std::vector<std::string_view> writable_names(const dmcore::TargetType& type) {
        std::vector<std::string_view> names;
        for (const ArgSpec& spec : type.args) {
            if (spec.kind != ArgSpec::Kind::devices_count) names.push_back(spec.name);
        }
        return names;
    }

    /// The argument that fills this one: a count is never written, its list is.
    const ArgSpec& writable(const ArgSpec& spec) const {
        if (spec.kind != ArgSpec::Kind::devices_count) return spec;
        const auto is_list = [](const ArgSpec& one) { return one.kind == ArgSpec::Kind::devices; };
        const auto list = std::find_if(type_.args.begin(), type_.args.end(), is_list);
        return list == type_.args.end() ? spec : *list;
    }

    void read_one(const ArgSpec& spec, const Node& value) {
        switch (spec.kind) {
            case ArgSpec::Kind::device: return add_word(spec.name, value, parse_name);
            case ArgSpec::Kind::sectors: return add_word(spec.name, value, sectors_word);
            case ArgSpec::Kind::bytes: return add_word(spec.name, value, bytes_word);
            case ArgSpec::Kind::seconds: return add_word(spec.name, value, seconds_word);
            case ArgSpec::Kind::milliseconds: return add_word(spec.name, value, milliseconds_word);
            case ArgSpec::Kind::count: return add_word(spec.name, value, count_word);
            case ArgSpec::Kind::devices_count:
                return add(std::to_string(value.items.size()), value.position);
            case ArgSpec::Kind::devices: return add_devices(spec, value);
            case ArgSpec::Kind::features: return add_features(spec, value);
            case ArgSpec::Kind::flag: return add_flag(spec, value);
            case ArgSpec::Kind::ranges: return add_ranges(spec, value);
        }
    }

    void add(std::string word, const Position& at) {
        result_.words.push_back(std::move(word));
        result_.places.push_back(at);
    }

    template <class Parse>
    void add_word(std::string_view name, const Node& value, Parse parse) {
        if (auto word = context_.read(value, what_ + ": " + std::string(name), parse)) {
            add(std::move(*word), value.position);
        }
    }

    void add_devices(const ArgSpec& spec, const Node& value) {
        static constexpr std::string_view keys[] = {"device", "offset"};
        const std::string subject = what_ + ": " + std::string(spec.name);
        for (const Node* item : context_.list(value, subject)) {
            if (item->kind != Node::Kind::map) {
                add_word(spec.name, *item, parse_name);
                add("0", item->position);
                continue;
            }
            const Section leg(context_, *item, subject, keys);
            if (leg.require("device", item->position, {})) {
                add_word("device", *leg.find("device"), parse_name);
            }
            const Node* offset = leg.find("offset");
            if (offset != nullptr)
                add_word("offset", *offset, sectors_word);
            else
                add("0", item->position);
        }
    }

    void add_features(const ArgSpec& spec, const Node& value) {
        const std::size_t count_at = result_.words.size();
        add("0", value.position);
        for (const Node* item : context_.list(value, what_ + ": " + std::string(spec.name))) {
            if (item->kind == Node::Kind::map) {
                for (const Node::Entry& entry : item->entries) {
                    if (const FeatureSpec* feature = find_feature(entry.key, entry.position)) {
                        add(entry.key, entry.position);
                        add_values(*feature, *entry.value);
                    }
                }
            } else if (const auto name = context_.text(*item, what_ + ": a feature")) {
                const FeatureSpec* feature = find_feature(*name, item->position);
                if (feature == nullptr) continue;
                add(*name, item->position);
                if (value_count(*feature) > 0) needs_values(*feature, item->position);
            }
        }
        result_.words[count_at] = std::to_string(result_.words.size() - count_at - 1);
    }

    void add_flag(const ArgSpec& spec, const Node& value) {
        const auto on = context_.read(value, what_ + ": " + std::string(spec.name), parse_boolean);
        if (on && *on) add(std::string(spec.name), value.position);
    }

    void add_ranges(const ArgSpec& spec, const Node& value) {
        const std::string subject = what_ + ": " + std::string(spec.name);
        std::string ranges;
        for (const Node* item : context_.list(value, subject)) {
            if (const auto range = context_.text(*item, subject)) {
                ranges += (ranges.empty() ? "" : ",") + *range;
            }
        }
        if (ranges.empty()) return;
        add(std::string(spec.name), value.position);
        add(std::move(ranges), value.position);
    }

    const FeatureSpec* find_feature(std::string_view name, const Position& at) {
        std::vector<std::string_view> known;
        for (const FeatureSpec& feature : type_.features) {
            if (feature.name == name) return &feature;
            known.push_back(feature.name);
        }
        context_.found.error(
            at, {"unknown-feature", what_ + " has no feature " + in_quotes(name),
                 did_you_mean(name, known), "its features: " + comma_separated(known)});
        return nullptr;
    }

    void needs_values(const FeatureSpec& feature, const Position& at) {
        const std::string values = comma_separated(feature.values);
        const std::string name(feature.name);
        context_.found.error(at,
                             {"bad-feature",
                              what_ + ": " + name + " needs " + (feature.rate ? "a rate" : values),
                              {},
                              "write " + name + (feature.rate ? ": 10%" : ": [" + values + "]")});
    }

    void add_values(const FeatureSpec& feature, const Node& value) {
        if (value_count(feature) == 0) {
            if (value.kind == Node::Kind::null) return;
            context_.found.error(value.position,
                                 {"bad-feature",
                                  what_ + ": " + std::string(feature.name) + " takes no value",
                                  {},
                                  "leave the value out"});
            return;
        }
        if (value.kind == Node::Kind::map && !feature.rate) return add_named_values(feature, value);
        const bool single = value.kind != Node::Kind::list;
        if ((single ? 1 : value.items.size()) != value_count(feature)) {
            return needs_values(feature, value.position);
        }
        if (single) return add_value(feature, value);
        for (const Node* item : value.items) add_value(feature, *item);
    }

    void add_named_values(const FeatureSpec& feature, const Node& value) {
        const Section named(context_, value, what_ + ": " + std::string(feature.name),
                            feature.values);
        for (const std::string_view name : feature.values) {
            if (named.require(name, value.position,
                              "in order: " + comma_separated(feature.values))) {
                add_value(feature, *named.find(name));
            }
        }
    }

    void add_value(const FeatureSpec& feature, const Node& value) {
        if (feature.rate)
            add_word(feature.name, value, rate_word);
        else
            add_word(feature.name, value, any_word);
    }

    Context& context_;
    const dmcore::TargetType& type_;
    std::string what_;
    std::vector<std::string_view> names_;
    Section section_;
    Arguments result_;
};

/// One string of words; each is marked by itself if the string stands in the file as it is.
Arguments read_string(const Node& node, const std::string& text) {
    Arguments result;
    const std::size_t quote = node.style == Node::Style::quoted ? 1 : 0;
    const bool as_written = node.position.length == text.size() + 2 * quote && text == node.text;
    for (Word& word : split_words(text)) {
        Position at = node.position;
        if (as_written) {
            at.column += static_cast<std::uint32_t>(quote + word.offset);
            at.length = static_cast<std::uint32_t>(word.length);
        }
        result.words.push_back(std::move(word.text));
        result.places.push_back(at);
    }
    return result;
}

}  // namespace

std::optional<Arguments> read_arguments(Context& context, const Node* args,
                                        const dmcore::TargetType& type, const Position& at,
                                        const std::string& what) {
    const std::size_t errors_before = context.found.errors();
    const std::string subject = what + ": args";
    Node nothing;
    nothing.kind = Node::Kind::map;
    nothing.position = at;
    if (args == nullptr || args->kind == Node::Kind::null) args = &nothing;

    Arguments result;
    if (args->kind == Node::Kind::map) {
        result = NamedArguments(context, *args, type, what).read();
    } else if (args->kind == Node::Kind::list) {
        for (const Node* item : args->items) {
            if (auto word = context.text(*item, subject)) {
                result.words.push_back(std::move(*word));
                result.places.push_back(item->position);
            }
        }
    } else if (const auto text = context.text(*args, subject)) {
        result = read_string(*args, *text);
    }
    if (context.found.errors() != errors_before) return std::nullopt;
    return result;
}

Legs find_legs(const dmcore::TargetType& type, const std::vector<std::string>& words) {
    Legs legs;
    const auto number = [&](std::size_t at) -> std::optional<std::uint64_t> {
        const auto value = at < words.size() ? parse_count(words[at], count_max)
                                             : Value<std::uint64_t>(tl::unexpected(ValueError{}));
        return value ? std::optional(*value) : std::nullopt;
    };
    // A target without arguments of its own may still be told a device and an offset (dm's error).
    if (type.args.empty() && words.size() == 2) legs.list.push_back({0, number(1)});
    std::size_t at = 0;
    for (const ArgSpec& spec : type.args) {
        if (at >= words.size() || spec.kind == ArgSpec::Kind::features || is_ours(spec)) break;
        if (spec.kind == ArgSpec::Kind::device) {
            legs.list.push_back({at, 0, spec.name.ends_with("device")});
        }
        if (spec.name.ends_with("offset") && !legs.list.empty())
            legs.list.back().offset_sectors = number(at);
        if (spec.name == "stripes" && spec.kind == ArgSpec::Kind::count)
            legs.shares = std::max<std::uint64_t>(1, number(at).value_or(1));
        if (spec.name == "chunk") legs.chunk_sectors = number(at).value_or(1);
        if (spec.kind == ArgSpec::Kind::devices) {
            legs.striped = true;
            for (; at < words.size(); at += 2) legs.list.push_back({at, number(at + 1)});
        }
        ++at;
    }
    return legs;
}

}  // namespace config
