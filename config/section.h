#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/diagnostic.h"
#include "config/document.h"
#include "config/values.h"

namespace config {

/// What reading needs everywhere: where to report, and the environment.
struct Context {
    Diagnostics& found;
    Variable variable;

    void error(const Position& at, const std::string& what, const ValueError& why) {
        found.error(at, {why.slug, what + ' ' + why.message, {}, why.help});
    }

    /// The text of a scalar with its variables replaced; nothing, and a report, if it is none.
    /// `what` begins the message: "store 'img0': path".
    std::optional<std::string> text(const Node& node, const std::string& what);

    /// A scalar read by one of values.h.
    template <class Parse>
    auto read(const Node& node, const std::string& what, Parse parse)
        -> std::optional<typename decltype(parse(std::string_view()))::value_type> {
        const auto word = text(node, what);
        if (!word) return std::nullopt;
        auto value = parse(*word);
        if (value) return std::move(*value);
        error(node.position, what, value.error());
        return std::nullopt;
    }

    /// Index in `words` of the scalar, which must be one of them.
    std::optional<std::size_t> choice(const Node& node, const std::string& what,
                                      std::span<const std::string_view> words);

    /// The items of a list; none, and a report, if it is something else.
    std::span<const Node* const> list(const Node& node, const std::string& what);
};

/// A map with known keys, being read. Reports what is no map and keys that are not known; a value
/// that is wrong is reported once, by the call that reads it, and then as good as absent.
class Section {
  public:
    /// `what` names the thing in messages: "store 'img0'"; empty for the file itself.
    Section(Context& context, const Node& node, std::string what,
            std::span<const std::string_view> keys);

    bool is_map() const noexcept { return node_.kind == Node::Kind::map; }
    const Position& position() const noexcept { return node_.position; }
    const Node* find(std::string_view key) const noexcept;

    /// "store 'img0': path", for messages.
    std::string subject(std::string_view key) const;

    /// True if `key` is given. Reports at `at` that it must be, unless a misspelt one explains it.
    bool require(std::string_view key, const Position& at, std::string help) const;

    std::optional<std::string> text(std::string_view key) const;

    template <class Parse>
    auto read(std::string_view key, Parse parse) const
        -> std::optional<typename decltype(parse(std::string_view()))::value_type> {
        const Node* value = find(key);
        if (value == nullptr) return std::nullopt;
        return context_.read(*value, subject(key), parse);
    }

    /// Index in `words` of the value, which must be one of them.
    std::optional<std::size_t> choice(std::string_view key,
                                      std::span<const std::string_view> words) const;

    /// Puts the value into `to` if there is a good one.
    template <class T, class Parse>
    void set(T& to, std::string_view key, Parse parse) const {
        if (auto value = read(key, parse)) to = static_cast<T>(std::move(*value));
    }

    /// Reports that `key` is understood but not served by this version, unless it is absent or says
    /// `but`.
    void not_available(std::string_view key, std::string_view but = {}) const;

  private:
    Context& context_;
    const Node& node_;
    std::string what_;
    std::vector<std::string_view> misspelt_;  // Keys that unknown ones are taken for.
};

/// "a, b, c".
std::string comma_separated(std::span<const std::string_view> words);

/// "'a', 'b' or 'c'".
std::string listed(std::span<const std::string_view> words);

}  // namespace config
