// Reads logs of log-writes and does them again (dm-semantics 7.8, [LW-2]).
#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "server/cli/cli.h"
#include "server/replay/replay.h"
#include "unit/folder.h"

using namespace server::replay;
namespace lf = dmcore::log_format;

namespace {

constexpr std::size_t block = 512;

/// A log written by hand, on 512-byte blocks.
struct Log {
    std::vector<std::byte> bytes = std::vector<std::byte>(block);
    lf::Super super{.block_bytes = block};

    void add(const lf::Header& header, std::uint8_t fill, const std::string& text = {}) {
        const std::size_t at = bytes.size();
        bytes.resize(at + block);
        lf::put(bytes.data() + at, header);
        std::memcpy(bytes.data() + at + lf::header_bytes, text.data(), text.size());
        bytes.resize(bytes.size() + header.data_blocks() * block, std::byte{fill});
        ++super.entries;
    }
    void mark(const std::string& name) {
        add({.flags = lf::mark, .text_bytes = name.size()}, 0, name);
    }
    void save(const std::string& path) {
        lf::put(bytes.data(), super);
        std::ofstream file(path, std::ios::binary);
        file.write(reinterpret_cast<const char*>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
    }
};

struct Files {
    Folder folder;
    std::string log_path = folder / "log";
    std::string disk_path = folder / "disk";
    Log log;

    Files() {
        blank(8);
        log.add({.block = 1, .blocks = 2}, 'a');                      // 0
        log.add({.flags = lf::flush}, 0);                             // 1
        log.mark("one");                                              // 2
        log.add({.block = 2, .blocks = 2, .flags = lf::fua}, 'b');    // 3
        log.add({.block = 1, .blocks = 1, .flags = lf::discard}, 0);  // 4
        log.mark("two");                                              // 5
        log.mark("dm-log-writes-end");                                // 6
        log.save(log_path);
    }
    void blank(std::size_t blocks) const {
        std::ofstream(disk_path, std::ios::binary) << std::string(blocks * block, '.');
    }
    /// The first byte of each block; zero is '0'.
    std::string disk() const {
        std::ifstream file(disk_path, std::ios::binary);
        std::stringstream all;
        all << file.rdbuf();
        std::string firsts;
        for (std::size_t at = 0; at < all.str().size(); at += block) {
            firsts += all.str()[at] == '\0' ? '0' : all.str()[at];
        }
        return firsts;
    }
    std::string error(const Span& span = {}) const {
        try {
            replay(log_path, span, disk_path);
        } catch (const ReplayError& error) {
            std::string text = error.what();
            for (const std::string& path : {log_path, disk_path}) {
                const auto at = text.find(path);
                if (at != std::string::npos)
                    text.replace(at, path.size(), path.substr(path.size() - 3));
            }
            return text;
        }
        return {};
    }
    /// What the command line says, and its status.
    std::string run(std::vector<std::string> words) const {
        std::ostringstream out;
        std::ostringstream err;
        words.insert(words.begin(), "replay");
        const int code = server::cli::run(words, out, err);
        return out.str() + std::to_string(code);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Files, "all of a log, and how to go on") {
    CHECK(replay(log_path, {}, disk_path) == 7);
    CHECK(disk() == ".0bb....");
    CHECK(replay(log_path, {.from = 7}, disk_path) == 7);
}

TEST_CASE_FIXTURE(Files, "mark after mark is one pass") {
    CHECK(replay(log_path, {.to_mark = "one"}, disk_path) == 3);
    CHECK(disk() == ".aa.....");
    CHECK(replay(log_path, {.from = 3, .to_mark = "two"}, disk_path) == 6);
    CHECK(disk() == ".0bb....");
}

TEST_CASE_FIXTURE(Files, "a number of entries") {
    CHECK(replay(log_path, {.to = 0}, disk_path) == 0);
    CHECK(disk() == "........");
    CHECK(replay(log_path, {.to = 4}, disk_path) == 4);
    CHECK(disk() == ".abb....");
    CHECK(replay(log_path, {.from = 4, .to = 5}, disk_path) == 5);
    CHECK(disk() == ".0bb....");
}

TEST_CASE_FIXTURE(Files, "what can't be replayed is refused, and nothing is written") {
    CHECK(error({.to_mark = "three"}) == "'log' has no mark 'three'");
    CHECK(error({.from = 3, .to_mark = "one"}) == "'log' has no mark 'one' from entry 3 on");
    CHECK(error({.to = 8}) == "there are no 8 entries: 'log' has 7 entries");
    CHECK(error({.from = 8}) == "can't begin at entry 8: 'log' has 7 entries");
    CHECK(error({.from = 5, .to = 2}) == "entry 5 does not lie before the end, 2");
    CHECK(disk() == "........");
    blank(3);
    CHECK(error() == "'isk' is too small: it has 1536 bytes, entry 3 needs 2048");
    CHECK(disk() == "...");
}

TEST_CASE_FIXTURE(Files, "what is no log is refused") {
    std::ofstream(log_path, std::ios::binary) << "short";
    CHECK(error() == "'log' is no log of log-writes: it is too short");
    std::ofstream(log_path, std::ios::binary) << std::string(5000, 'x');
    CHECK(error() == "'log' is no log of log-writes: its magic number is missing");
    log.super.version = 2;
    log.save(log_path);
    CHECK(error() == "'log' has version 2; only version 1 is known");
    for (const std::uint32_t size : {0U, 256U, 513U, 131072U}) {
        log.super = {.entries = 7, .block_bytes = size};
        log.save(log_path);
        CHECK(error() == "'log' is damaged: blocks of " + std::to_string(size) + " bytes");
    }
    std::filesystem::remove(log_path);
    CHECK(error() == "can't open 'log': No such file or directory");
}

TEST_CASE_FIXTURE(Files, "a truncated log is refused wherever it is cut") {
    const std::size_t whole = log.bytes.size();
    for (std::size_t size = block; size < whole; size += 100) {
        CAPTURE(size);
        log.save(log_path);
        std::filesystem::resize_file(log_path, size);
        CHECK(error().starts_with("'log' is truncated: it ends in entry "));
    }
    CHECK(disk() == "........");
    log.super.entries = UINT64_MAX;
    log.save(log_path);
    CHECK(error().starts_with("'log' is truncated: it ends in entry 7 of 18446744073709551615"));
}

TEST_CASE_FIXTURE(Files, "a header that makes no sense is refused") {
    const lf::Header bad[] = {
        {},                                          // No flag, no sector.
        {.block = 1, .blocks = 1, .flags = 32},      // No such flag.
        {.flags = lf::mark, .text_bytes = block},    // A text past the block.
        {.block = 1, .blocks = 1, .text_bytes = 3},  // A text without a mark.
        {.block = UINT64_MAX, .blocks = 1, .flags = lf::discard},
        {.block = 1, .blocks = UINT64_MAX, .flags = lf::discard},
        {.block = 1ULL << 53, .blocks = 1ULL << 54, .flags = lf::discard},
    };
    for (const lf::Header& header : bad) {
        Log one;
        one.bytes.resize(2 * block);
        one.super.entries = 1;
        lf::put(one.bytes.data() + block, header);
        one.save(log_path);
        CHECK(error() == "'log' is damaged: entry 0 makes no sense");
    }
}

TEST_CASE_FIXTURE(Files, "dmnbd replay lists entries in sectors, and replays") {
    CHECK(run({log_path}) ==
          "0 1 2 -\n1 0 0 flush\n2 0 0 mark one\n3 2 2 fua\n4 1 1 discard\n5 0 0 mark two\n"
          "6 0 0 mark dm-log-writes-end\n0");
    CHECK(run({log_path, "--onto", disk_path, "--to-mark", "one"}) ==
          "replayed 3 entries; go on with --from 3\n0");
    CHECK(run({log_path, "--onto", disk_path, "--from", "3", "--to-end"}) ==
          "replayed 4 entries; go on with --from 7\n0");
    CHECK(disk() == ".0bb....");
    CHECK(run({log_path, "--onto", disk_path, "--to-mark", "none"}) == "1");
    CHECK(run({log_path, "--to-mark", "one"}) == "2");
    CHECK(run({log_path, "--onto", disk_path, "--to-mark", "one", "--entries", "1"}) == "2");
    CHECK(run({}) == "2");
    CHECK(run({log_path, "--json"}).find("\"mark\": \"two\"") != std::string::npos);
}
