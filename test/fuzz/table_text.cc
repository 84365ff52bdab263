#include "fuzz/table_text.h"

namespace fuzz {
namespace {

using Words = std::vector<std::string>;

class RowWriter {
  public:
    RowWriter(Input& input, const std::vector<Below>& below) : input_(input), below_(below) {}

    dmcore::RowSpec write(std::uint64_t start) {
        constexpr const char* targets[] = {"linear", "striped", "unstriped", "flakey",    "zero",
                                           "error",  "delay",   "dust",      "log-writes"};
        dmcore::RowSpec row;
        row.start_sector = start;
        row.target = input_.pick(targets);
        sectors_ = 8 * (1 + input_.below(64));
        if (input_.byte() >= 250) sectors_ = input_.edge();
        row.words = words(row.target);
        row.sectors = sectors_;
        spoil(row);
        return row;
    }

  private:
    std::string number(std::uint64_t value) { return std::to_string(value); }
    const Below& some() { return below_[input_.below(below_.size())]; }

    /// A device, and an offset at which `sectors` fit, if any do.
    void leg(Words& to, std::uint64_t sectors) {
        const Below& device = some();
        const std::uint64_t room = device.sectors > sectors ? device.sectors - sectors : 0;
        const std::uint64_t offset = input_.below(room / 8 + 1) * 8;
        to.push_back(device.name);
        to.push_back(number(offset));
    }

    Words words(const std::string& target) {
        Words to;
        if (target == "striped") return striped();
        if (target == "unstriped") return unstriped();
        if (target == "zero" || (target == "error" && input_.flag())) return to;
        if (target == "log-writes") return {some().name, some().name};
        leg(to, sectors_);
        if (target == "flakey") flakey(to);
        if (target == "dust") dust(to);
        if (target == "delay") {
            to.push_back(number(input_.below(3)));
            for (std::uint64_t more = input_.below(3); more > 0; --more) {
                leg(to, sectors_);
                to.push_back(number(input_.below(1000)));
            }
        }
        return to;
    }

    Words striped() {
        const std::uint64_t stripes = 1 + input_.below(4);
        const std::uint64_t chunk = 1 + input_.below(24);
        const std::uint64_t each = chunk * (1 + input_.below(20));
        sectors_ = stripes * each;
        Words to = {number(stripes), number(chunk)};
        for (std::uint64_t i = 0; i < stripes; ++i) leg(to, each);
        return to;
    }

    Words unstriped() {
        const std::uint64_t stripes = 1 + input_.below(4);
        const std::uint64_t chunk = 1 + input_.below(24);
        const std::uint64_t stripe = input_.below(stripes + 1);
        sectors_ = chunk * (1 + input_.below(20));
        Words to = {number(stripes), number(chunk), number(stripe)};
        leg(to, sectors_);
        return to;
    }

    void flakey(Words& to) {
        constexpr const char* times[] = {"0", "1", "9", "500ms"};
        to.push_back(input_.pick(times));
        to.push_back(input_.pick(times));
        static const Words features[] = {
            {},
            {"0"},
            {"1", "drop_writes"},
            {"1", "error_reads"},
            {"1", "error_writes"},
            {"2", "random_read_corrupt", "1000000000"},
            {"2", "random_write_corrupt", "500000000"},
            {"5", "corrupt_bio_byte", "512", "w", "7", "0"},
            {"6", "error_reads", "corrupt_bio_byte", "1", "r", "0", "131072"},
        };
        for (const std::string& word : input_.pick(features)) to.push_back(word);
    }

    void dust(Words& to) {
        constexpr const char* sizes[] = {"512", "4096", "1024", "65536"};
        to.push_back(input_.pick(sizes));
        if (input_.flag()) to.push_back("enabled");
        if (!input_.flag()) return;
        to.push_back("bad_blocks");
        const std::uint64_t from = input_.below(64);
        to.push_back(number(from) + "-" + number(from + input_.below(8)) + ",3");
    }

    void spoil(dmcore::RowSpec& row) {
        const std::uint8_t kind = input_.byte();
        if (kind < 224) return;
        if (kind < 228) row.start_sector = input_.edge();
        if (kind < 232) row.sectors = input_.edge();
        if (kind < 236) row.target = input_.text(8);
        if (kind < 240) row.words.push_back(input_.text(8));
        if (row.words.empty()) return;
        std::string& word = row.words[input_.below(row.words.size())];
        word = kind < 252 ? number(input_.edge()) : input_.text(8);
    }

    Input& input_;
    const std::vector<Below>& below_;
    std::uint64_t sectors_ = 0;
};

}  // namespace

std::vector<dmcore::RowSpec> write_rows(Input& input, const std::vector<Below>& below) {
    std::vector<dmcore::RowSpec> rows;
    std::uint64_t end = 0;
    for (std::uint64_t count = 1 + input.below(6); count > 0; --count) {
        rows.push_back(RowWriter(input, below).write(end));
        end = rows.back().start_sector + rows.back().sectors;
    }
    return rows;
}

std::vector<std::string> write_message(Input& input) {
    constexpr const char* words[] = {"addbadblock",
                                     "removebadblock",
                                     "queryblock",
                                     "countbadblocks",
                                     "listbadblocks",
                                     "clearbadblocks",
                                     "enable",
                                     "disable",
                                     "quiet",
                                     "mark",
                                     "@stats_create",
                                     "@stats_delete",
                                     "@stats_list",
                                     "@stats_print",
                                     "@stats_clear",
                                     "@stats_print_clear",
                                     "@stats_set_aux",
                                     "-",
                                     "/2",
                                     "0+8",
                                     "1",
                                     "precise_timestamps",
                                     "histogram:1,2",
                                     "histogram:1000",
                                     "0",
                                     "dmnbd",
                                     "aux",
                                     "8"};
    std::vector<std::string> all;
    for (std::uint64_t count = 1 + input.below(6); count > 0; --count) {
        const std::uint8_t rare = input.byte();
        if (rare == 255) {
            all.push_back(input.text(8));
        } else if (rare >= 240) {
            all.push_back(std::to_string(input.edge() % 100'000));  // Areas cost memory.
        } else {
            all.push_back(words[rare % std::size(words)]);
        }
    }
    return all;
}

}  // namespace fuzz
