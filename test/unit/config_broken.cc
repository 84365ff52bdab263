#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "config/load.h"

namespace {

namespace fs = std::filesystem;

const fs::path cases = fs::path(DMNBD_SOURCE_DIR) / "test/cases/broken";

std::string read(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<fs::path> broken_files() {
    std::set<fs::path> sorted;
    for (const auto& entry : fs::directory_iterator(cases)) {
        if (entry.path().extension() == ".yaml") sorted.insert(entry.path());
    }
    return {sorted.begin(), sorted.end()};
}

/// Where the tests run from must not show in the messages.
class InFolder {
  public:
    explicit InFolder(const fs::path& folder) : before_(fs::current_path()) {
        fs::current_path(folder);
    }
    ~InFolder() { fs::current_path(before_); }

  private:
    fs::path before_;
};

/// DMNBD_UPDATE_CASES=1 writes what is said now instead; read the difference before you keep it.
void compare(fs::path file, const char* extension, const std::string& text) {
    file.replace_extension(extension);
    if (std::getenv("DMNBD_UPDATE_CASES") != nullptr) {
        std::ofstream(file, std::ios::binary) << text;
        return;
    }
    INFO(file.filename().string());
    CHECK(text == read(file));
}

}  // namespace

TEST_CASE("each broken table is refused with exactly the words that are written beside it") {
    // Messages are what people see of a table language; a change to one must be seen and meant.
    const InFolder here(cases);
    const auto files = broken_files();
    REQUIRE(files.size() >= 40);
    config::Surroundings around;
    around.variable = [](const std::string& name) -> std::optional<std::string> {
        if (name == "CASES") return ".";
        if (name == "EMPTY") return "";
        return std::nullopt;
    };
    around.remote_size = [](const config::StoreSpec&) {
        return tl::unexpected(std::string("it does not answer"));
    };
    for (const fs::path& file : files) {
        CAPTURE(file.filename().string());
        config::Diagnostics found;
        const auto spec = config::load_file(file.filename().string(), found, around);
        CHECK_FALSE(spec.has_value());
        CHECK_FALSE(found.ok());
        compare(file, ".human", found.human());
        compare(file, ".short", found.brief());
        compare(file, ".json", found.json());
    }
}
