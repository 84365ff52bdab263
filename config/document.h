#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"
#include "config/source.h"

namespace config {

inline constexpr std::size_t file_bytes_max = 16ULL << 20;
inline constexpr std::size_t document_nodes_max = 200'000;  // After aliases.
inline constexpr std::size_t document_depth_max = 64;

/// A piece of a YAML document. Everything is text here; what it means depends on where it stands,
/// so `on` or `12` is never anything else by itself.
struct Node {
    enum class Kind : std::uint8_t { null, scalar, list, map };
    enum class Style : std::uint8_t { plain, quoted, literal, folded };
    struct Entry {
        std::string key;
        Position position;  // Of the key.
        const Node* value;
    };

    Kind kind = Kind::null;
    Style style = Style::plain;  // Of a scalar.
    Position position;
    std::string text;
    std::vector<const Node*> items;
    std::vector<Entry> entries;  // As written, then what `<<` merged in; each key once.

    /// The value of `key`; null if it is not there or this is no map.
    const Node* find(std::string_view key) const noexcept;
};

/// One parsed file. Aliases are shared nodes, so the tree is a graph without cycles. Immutable.
class Document {
  public:
    Document(Document&&) = default;  // Never copied: nodes point at each other.
    Document& operator=(Document&&) = default;

    /// Nothing if the text is no YAML or goes past a limit; all but those are reported and
    /// survived.
    static std::optional<Document> parse(std::shared_ptr<const Source> source, Diagnostics& found);

    const Node& root() const noexcept { return nodes_.front(); }
    const std::shared_ptr<const Source>& source() const noexcept { return source_; }

  private:
    friend class DocumentBuilder;
    Document() = default;

    std::shared_ptr<const Source> source_;
    std::deque<Node> nodes_;  // Addresses stay. The first is the root.
};

}  // namespace config
