#include "config/document.h"

#include <algorithm>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "config/encoding.h"

namespace config {
namespace {

/// Thrown through the parser, which would otherwise go on over a hostile file for minutes.
struct Refused {
    Position at;
    Report report;
};

/// The parser makes one byte each of the escapes \N and \_, which stand for U+0085 and U+00A0.
std::string whole_characters(const std::string& value) {
    std::string text;
    for (std::size_t at = 0; at < value.size();) {
        const std::size_t bytes = character_bytes(std::string_view(value).substr(at));
        if (bytes == 0) text += '\xc2';
        text.append(value, at, std::max<std::size_t>(1, bytes));
        at += std::max<std::size_t>(1, bytes);
    }
    return text;
}

/// Skips anchors and tags: the parser's mark stands before them.
std::size_t skip_properties(std::string_view text, std::size_t at) {
    while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
        at = std::min(text.find_first_of(" \t\r\n", at), text.size());
        at = std::min(text.find_first_not_of(" \t\r\n", at), text.size());
    }
    return at;
}

/// Bytes from the opening quote to the closing one, or to the end of the line.
std::size_t quoted_length(std::string_view line) {
    const char quote = line.front();
    for (std::size_t i = 1; i < line.size(); ++i) {
        const bool is_escape = quote == '"' && line[i] == '\\';
        const bool is_doubled = quote == '\'' && line.substr(i).starts_with("''");
        if (is_escape || is_doubled) {
            ++i;
        } else if (line[i] == quote) {
            return i + 1;
        }
    }
    return line.size();
}

Node::Style style_at(std::string_view line) {
    switch (line.empty() ? ' ' : line.front()) {
        case '"':
        case '\'': return Node::Style::quoted;
        case '|': return Node::Style::literal;
        case '>': return Node::Style::folded;
        default: return Node::Style::plain;
    }
}

std::uint32_t written_length(std::string_view line, Node::Style style, std::string_view value) {
    if (style == Node::Style::quoted) return static_cast<std::uint32_t>(quoted_length(line));
    if (style != Node::Style::plain) return 1;
    const auto [end, same] = std::mismatch(line.begin(), line.end(), value.begin(), value.end());
    return static_cast<std::uint32_t>(std::max<std::ptrdiff_t>(1, end - line.begin()));
}

}  // namespace

const Node* Node::find(std::string_view key) const noexcept {
    for (const Entry& entry : entries) {
        if (entry.key == key) return entry.value;
    }
    return nullptr;
}

/// Turns the parser's events into nodes.
class DocumentBuilder final : public YAML::EventHandler {
  public:
    DocumentBuilder(Document& document, Diagnostics& found) : document_(document), found_(found) {}

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (!document_.nodes_.empty()) {
            throw Refused{at(mark, 3),
                          {"second-document",
                           "a table file holds one YAML document",
                           {},
                           "remove the '---' line and what follows, or use 'include'"}};
        }
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        Node& node = add(mark, anchor);
        place(node);
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check_tag(mark, tag);
        Node& node = add(mark, anchor);
        node.kind = Node::Kind::scalar;
        node.text = whole_characters(value);
        const std::string_view line = rest_of_line(node.position);
        node.style = style_at(line);
        node.position.length = written_length(line, node.style, value);
        place(node);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const Anchored& target = anchors_.at(anchor);
        if (!target.complete) {
            throw Refused{at(mark, 1),
                          {"alias-cycle",
                           "this alias stands inside what it names",
                           {},
                           "give the inner part its own anchor"}};
        }
        spend(at(mark, 1), target.weight);
        place(*target.node);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        check_tag(mark, tag);
        open(add(mark, anchor), Node::Kind::list, anchor);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        check_tag(mark, tag);
        open(add(mark, anchor), Node::Kind::map, anchor);
    }
    void OnMapEnd() override {
        resolve_merges(frames_.back());
        close();
    }

  private:
    struct Anchored {
        const Node* node = nullptr;
        std::size_t weight = 1;  // Nodes in it, aliases counted in full.
        bool complete = true;
    };
    /// A list or map that is still open.
    struct Frame {
        Node* node;
        YAML::anchor_t anchor;
        std::size_t nodes_before;
        const Node* key = nullptr;  // Waits for its value.
        std::unordered_set<std::string_view> keys;
        std::vector<const Node*> merges;
    };

    Position at(const YAML::Mark& mark, std::uint32_t length) const {
        const Source& source = *document_.source_;
        return {&source, static_cast<std::uint32_t>(mark.line + 1),
                static_cast<std::uint32_t>(mark.column + 1), length};
    }

    std::string_view rest_of_line(const Position& from) const {
        const std::string_view line = document_.source_->line(from.line);
        return line.substr(std::min<std::size_t>(from.column - 1, line.size()));
    }

    /// Where a node itself begins, behind its anchor and tag; those may stand on a line of their
    /// own.
    Position behind_properties(Position from) const {
        const std::string& text = document_.source_->text();
        const std::size_t begin = document_.source_->offset(from.line, from.column);
        const std::size_t behind = skip_properties(text, begin);
        for (std::size_t i = begin; i < behind; ++i) {
            ++from.column;
            if (text[i] == '\n') {
                ++from.line;
                from.column = 1;
            }
        }
        return from;
    }

    void check_tag(const YAML::Mark& mark, const std::string& tag) {
        if (tag.empty() || tag == "?" || tag == "!") return;
        found_.error(at(mark, 1), {"yaml-tag",
                                   "tags such as " + in_quotes(tag) + " mean nothing here",
                                   {},
                                   "remove the word that begins with '!'"});
    }

    void spend(const Position& where, std::size_t nodes) {
        nodes_ += nodes;
        if (nodes_ > document_nodes_max) {
            throw Refused{where,
                          {"too-many-nodes",
                           "the file has more than 200000 values after aliases",
                           {},
                           "write long tables as dm text: one value for all of their rows"}};
        }
    }

    Node& add(const YAML::Mark& mark, YAML::anchor_t anchor) {
        spend(at(mark, 1), 1);
        Node& node = document_.nodes_.emplace_back();
        node.position = behind_properties(at(mark, 1));
        if (anchor >= anchors_.size()) anchors_.resize(anchor + 1);
        anchors_[anchor] = {&node, 1, true};
        return node;
    }

    void open(Node& node, Node::Kind kind, YAML::anchor_t anchor) {
        if (frames_.size() >= document_depth_max) {
            throw Refused{node.position,
                          {"too-deep", "lists and maps are nested more than 64 deep", {}, {}}};
        }
        node.kind = kind;
        anchors_[anchor].complete = false;
        frames_.push_back({&node, anchor, nodes_ - 1, nullptr, {}, {}});
    }

    void close() {
        const Frame frame = std::move(frames_.back());
        frames_.pop_back();
        anchors_[frame.anchor] = {frame.node, nodes_ - frame.nodes_before, true};
        place(*frame.node);
    }

    /// Puts a complete node where it belongs: into the list, or as key or value into the map.
    void place(const Node& node) {
        if (frames_.empty()) return;
        Frame& frame = frames_.back();
        if (frame.node->kind == Node::Kind::list) {
            frame.node->items.push_back(&node);
        } else if (frame.key == nullptr) {
            frame.key = &node;
        } else {
            add_entry(frame, *frame.key, node);
            frame.key = nullptr;
        }
    }

    void add_entry(Frame& frame, const Node& key, const Node& value) {
        if (key.kind != Node::Kind::scalar) {
            found_.error(key.position, {"bad-key",
                                        "this key is not a word",
                                        {},
                                        "put it in quotes if it is meant as one"});
        } else if (key.text == "<<" && key.style == Node::Style::plain) {
            frame.merges.push_back(&value);
        } else if (frame.keys.insert(key.text).second) {
            frame.node->entries.push_back({key.text, key.position, &value});
        } else {
            found_.error(
                key.position,
                {"duplicate-key", "key " + in_quotes(key.text) + " is given twice",
                 "the second one", "remove one of the two", first_of(*frame.node, key.text)});
        }
    }

    static Position first_of(const Node& map, std::string_view key) {
        for (const Node::Entry& entry : map.entries) {
            if (entry.key == key) return entry.position;
        }
        return {};
    }

    /// What the map says itself wins over what it merges, and an earlier merge over a later one.
    void resolve_merges(Frame& frame) {
        for (const Node* merge : frame.merges) {
            if (merge->kind == Node::Kind::list) {
                for (const Node* each : merge->items) merge_map(frame, *each);
            } else {
                merge_map(frame, *merge);
            }
        }
    }

    void merge_map(Frame& frame, const Node& from) {
        if (from.kind != Node::Kind::map) {
            found_.error(from.position, {"bad-merge",
                                         "'<<' takes a map or a list of maps",
                                         {},
                                         "write <<: *NAME, where &NAME stands at a map"});
            return;
        }
        for (const Node::Entry& entry : from.entries) {
            if (!frame.keys.insert(entry.key).second) continue;
            spend(from.position, 1);
            frame.node->entries.push_back(entry);
        }
    }

    Document& document_;
    Diagnostics& found_;
    std::vector<Frame> frames_;
    std::vector<Anchored> anchors_;  // By the parser's numbers; 0 is for nodes without an anchor.
    std::size_t nodes_ = 0;
};

namespace {

Report syntax_error(const Source& source, const YAML::ParserException& error) {
    const std::size_t line_number = static_cast<std::size_t>(error.mark.line) + 1;
    const std::string_view line = source.line(line_number);
    const std::size_t text = line.find_first_not_of(" \t");
    const bool tab = line.substr(0, text).find('\t') != std::string_view::npos;
    const bool bracket = error.msg.find("flow") != std::string::npos;
    return {"yaml-syntax",
            "this is not YAML: " + error.msg,
            {},
            tab       ? "indent with spaces; YAML takes no tabs"
            : bracket ? "close each { and [, and put quotes around words with : # { } [ ] or ,"
                      : ""};
}

/// An open bracket makes the parser read ahead to its end, at a hundred bytes of memory for each
/// token. So characters that end a token are counted before; names and numbers of dm text have
/// none.
bool too_many_tokens(std::string_view text) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool alone = i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '\n';
        switch (text[i]) {
            case ':':
            case '-': count += alone ? 1 : 0; break;
            case '[':
            case '{':
            case ',':
            case '"':
            case '\'':
            case '*':
            case '&':
            case '?':
            case '!': ++count; break;
            default: break;
        }
    }
    return count > 2 * document_nodes_max;
}

}  // namespace

std::optional<Document> Document::parse(std::shared_ptr<const Source> source, Diagnostics& found) {
    Document document;
    document.source_ = std::move(source);
    const Source& text = *document.source_;
    if (!check_encoding(text, found)) return std::nullopt;
    if (too_many_tokens(text.text())) {
        found.error({&text}, {"too-many-nodes",
                              "the file has more than 200000 values",
                              {},
                              "write long tables as dm text: one value for all of their rows"});
        return std::nullopt;
    }
    std::istringstream stream(text.text());
    try {
        YAML::Parser parser(stream);
        DocumentBuilder builder(document, found);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const Refused& refused) {
        found.error(refused.at, refused.report);
        return std::nullopt;
    } catch (const YAML::ParserException& error) {
        const auto line = static_cast<std::uint32_t>(error.mark.line + 1);
        const auto column = static_cast<std::uint32_t>(error.mark.column + 1);
        found.error({&text, line, column, 1}, syntax_error(text, error));
        return std::nullopt;
    }
    if (document.nodes_.empty()) {
        found.error({&text}, {"empty-file",
                              "there is nothing in this file",
                              {},
                              "a table file begins with 'version: 1'"});
        return std::nullopt;
    }
    return document;
}

}  // namespace config
