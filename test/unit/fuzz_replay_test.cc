// Why: what the fuzzers have found to be worth keeping, all ways through the code and every bug
// that was ever found, is played again by each build, with each compiler and sanitizer.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;

struct Target {
    const char* name;
    int (*run)(std::span<const std::uint8_t>);
};
constexpr Target targets[] = {{"handshake", fuzz_handshake},
                              {"transmission", fuzz_transmission},
                              {"table_file", fuzz_table_file},
                              {"control", fuzz_control},
                              {"table", fuzz_table}};

std::vector<std::uint8_t> read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<fs::path> inputs(const Target& target) {
    std::vector<fs::path> all;
    for (const char* kind : {"seeds", "corpus", "findings"}) {
        const fs::path folder = fs::path(DMNBD_SOURCE_DIR "/test/fuzz") / kind / target.name;
        if (!fs::is_directory(folder)) continue;
        for (const auto& file : fs::directory_iterator(folder)) all.push_back(file.path());
    }
    std::ranges::sort(all);
    return all;
}

}  // namespace

TEST_CASE("fuzz: every input that was kept keeps all promises") {
    for (const Target& target : targets) {
        const std::vector<fs::path> all = inputs(target);
        CHECK_MESSAGE(all.size() >= 20, target.name);
        for (const fs::path& path : all) {
            INFO("input ", path.string());  // A broken promise ends the process, and this is shown.
            target.run(read(path));
        }
    }
}

TEST_CASE("fuzz: no input, and the shortest ones, are inputs too") {
    for (const Target& target : targets) {
        target.run({});
        for (unsigned byte = 0; byte < 256; ++byte) {
            const std::vector<std::uint8_t> input = {static_cast<std::uint8_t>(byte)};
            CHECK(target.run(input) == 0);
        }
    }
}
