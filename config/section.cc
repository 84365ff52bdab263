#include "config/section.h"

#include <algorithm>

#include "config/closest.h"

namespace config {
namespace {

std::string_view kind_text(const Node& node) {
    switch (node.kind) {
        case Node::Kind::null: return "empty";
        case Node::Kind::scalar: return "a single value";
        case Node::Kind::list: return "a list";
        case Node::Kind::map: return "a map";
    }
    return {};
}

}  // namespace

std::optional<std::string> Context::text(const Node& node, const std::string& what) {
    if (node.kind != Node::Kind::scalar) {
        found.error(node.position,
                    {"wrong-kind",
                     what + " is " + std::string(kind_text(node)) + ", not a single value",
                     "expected a word here",
                     {}});
        return std::nullopt;
    }
    if (node.text.find('$') == std::string::npos) return node.text;
    auto expanded = expand_variables(node.text, variable);
    if (expanded) return std::move(*expanded);
    error(node.position, what + ':', expanded.error());
    return std::nullopt;
}

std::span<const Node* const> Context::list(const Node& node, const std::string& what) {
    if (node.kind == Node::Kind::list) return node.items;
    found.error(node.position,
                {"wrong-kind", what + " is " + std::string(kind_text(node)) + ", not a list",
                 "expected a list here", "write it like [a, b]"});
    return {};
}

Section::Section(Context& context, const Node& node, std::string what,
                 std::span<const std::string_view> keys)
    : context_(context), node_(node), what_(std::move(what)) {
    if (!is_map()) {
        const std::string subject = what_.empty() ? "the file" : what_;
        context_.found.error(
            node.position,
            {"wrong-kind", subject + " is " + std::string(kind_text(node)) + ", not a map",
             "expected 'key: value' here", "its keys: " + comma_separated(keys)});
        return;
    }
    for (const Node::Entry& entry : node.entries) {
        if (std::find(keys.begin(), keys.end(), entry.key) != keys.end()) continue;
        if (what_.empty() && entry.key.starts_with("x-")) continue;
        const std::string subject = what_.empty() ? "a table file" : what_;
        if (const auto meant = closest(entry.key, keys)) misspelt_.push_back(*meant);
        context_.found.error(entry.position,
                             {"unknown-key", subject + " has no key " + in_quotes(entry.key),
                              did_you_mean(entry.key, keys), "its keys: " + comma_separated(keys)});
    }
}

const Node* Section::find(std::string_view key) const noexcept {
    return node_.find(key);
}

std::string Section::subject(std::string_view key) const {
    return what_.empty() ? std::string(key) : what_ + ": " + std::string(key);
}

bool Section::require(std::string_view key, const Position& at, std::string help) const {
    if (!is_map() || find(key) != nullptr) return is_map();
    if (std::find(misspelt_.begin(), misspelt_.end(), key) != misspelt_.end()) return false;
    const std::string subject = what_.empty() ? "the file" : what_;
    context_.found.error(
        at, {"missing-key", subject + " needs '" + std::string(key) + "'", {}, std::move(help)});
    return false;
}

std::optional<std::string> Section::text(std::string_view key) const {
    const Node* value = find(key);
    return value == nullptr ? std::nullopt : context_.text(*value, subject(key));
}

std::optional<std::size_t> Context::choice(const Node& node, const std::string& what,
                                           std::span<const std::string_view> words) {
    const auto word = text(node, what);
    if (!word) return std::nullopt;
    const auto known = std::find(words.begin(), words.end(), *word);
    if (known != words.end()) return static_cast<std::size_t>(known - words.begin());
    found.error(node.position, {"bad-choice",
                                what + " is " + listed(words) + ", not " + in_quotes(*word),
                                did_you_mean(*word, words),
                                {}});
    return std::nullopt;
}

std::optional<std::size_t> Section::choice(std::string_view key,
                                           std::span<const std::string_view> words) const {
    const Node* value = find(key);
    return value == nullptr ? std::nullopt : context_.choice(*value, subject(key), words);
}

void Section::not_available(std::string_view key, std::string_view but) const {
    const Node* value = find(key);
    if (value == nullptr) return;
    if (!but.empty() && value->kind == Node::Kind::scalar && value->text == but) return;
    context_.found.error(
        value->position,
        {"not-available",
         subject(key) + " is not served by this version",
         {},
         but.empty() ? "leave it out" : "leave it out, or write " + std::string(but)});
}

std::string comma_separated(std::span<const std::string_view> words) {
    std::string text;
    for (const std::string_view word : words)
        text += (text.empty() ? "" : ", ") + std::string(word);
    return text;
}

std::string listed(std::span<const std::string_view> words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
        text += "'" + std::string(words[i]) + "'";
    }
    return text;
}

}  // namespace config
