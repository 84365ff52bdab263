#include "config/dm_text.h"

#include <charconv>
#include <optional>

#include "config/diagnostic.h"

namespace config {
namespace {

bool is_blank(char letter) {
    return letter == ' ' || letter == '\t' || letter == '\r';
}

/// Reads the next word from `at` on, which is moved behind it; false at the end of the line.
bool next_word(std::string_view line, std::size_t& at, Word& word) {
    while (at < line.size() && is_blank(line[at])) ++at;
    word = {{}, at, 0};
    for (; at < line.size() && !is_blank(line[at]); ++at) {
        if (line[at] == '\\' && at + 1 < line.size()) ++at;
        word.text += line[at];
    }
    word.length = at - word.offset;
    return word.length > 0;
}

/// A number as dm reads it: leading zeros are fine, and it is decimal all the same.
std::optional<std::uint64_t> sector_number(const std::string& text) {
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stopped != end) return std::nullopt;
    return number;
}

/// Reads one line into a row of the table, or a fault.
class LineReader {
  public:
    LineReader(DmTable& table, std::string_view line, std::size_t number)
        : table_(table), line_(line), number_(number) {}

    void read() {
        dmcore::RowSpec row;
        if (!sectors(row.start_sector, 0, "start") || !sectors(row.sectors, 1, "length")) return;
        Word word;
        if (!next_word(line_, at_, word)) return too_short("target");
        row.target = std::move(word.text);
        while (next_word(line_, at_, word)) row.words.push_back(std::move(word.text));
        table_.rows.push_back(std::move(row));
        table_.lines.push_back(static_cast<std::uint32_t>(number_));
    }

  private:
    bool sectors(std::uint64_t& to, std::size_t index, std::string_view what) {
        Word word;
        if (!next_word(line_, at_, word)) {
            too_short(what);
            return false;
        }
        const auto number = sector_number(word.text);
        if (number)
            to = *number;
        else
            fault(index, bad_number(word.text, what));
        return number.has_value();
    }

    void too_short(std::string_view what) {
        fault(TextFault::whole_line, {"short-line", "the line ends before its " + std::string(what),
                                      "write START LENGTH TARGET ARGS"});
    }

    static ValueError bad_number(const std::string& text, std::string_view what) {
        const bool device = text.size() > 1 && text.ends_with(':');
        return {"bad-number",
                std::string(what) + " must be a number of sectors, not " + in_quotes(text),
                device ? "'dmsetup table NAME' prints the line without the name in front"
                       : "in dm text, numbers are decimal sectors without a unit"};
    }

    void fault(std::size_t word, ValueError why) {
        if (table_.faults.size() >= DmTable::faults_max) return;
        table_.faults.push_back({number_, word, std::move(why)});
    }

    DmTable& table_;
    std::string_view line_;
    std::size_t number_;
    std::size_t at_ = 0;
};

}  // namespace

std::vector<Word> split_words(std::string_view line) {
    std::vector<Word> words;
    std::size_t at = 0;
    Word word;
    while (next_word(line, at, word)) words.push_back(std::move(word));
    return words;
}

DmTable parse_dm_text(std::string_view text) {
    DmTable table;
    std::size_t number = 0;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        const std::size_t first = line.find_first_not_of(" \t\r");
        const bool empty = first == std::string_view::npos || line[first] == '#';
        if (!empty) LineReader(table, line, number).read();
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        ++number;
    }
    return table;
}

}  // namespace config
