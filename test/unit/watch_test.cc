// Every way in which a table file changes is noticed, once, and nothing else is.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "server/watch.h"
#include "unit/folder.h"

using namespace server;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::milliseconds quiet{60};

struct Watching {
    Folder folder;
    std::vector<std::string> files{folder / "table.yaml"};
    std::atomic<int> changes{0};
    std::atomic<int> pokes{0};
    std::unique_ptr<FileWatch> watch;

    void start() {
        watch = std::make_unique<FileWatch>(
            FileWatch::Calls{[this] { return files; }, [this] { ++changes; }, [this] { ++pokes; }},
            quiet);
    }
    static void write(const std::string& path, const std::string& text) {
        std::ofstream(path) << text;
    }
    /// How often it was called, after some time without a call.
    int calls() const {
        int before = -1;
        while (before != changes) {
            before = changes;
            std::this_thread::sleep_for(5 * quiet);
        }
        return before;
    }
};

}  // namespace

TEST_CASE_FIXTURE(Watching, "watch: a file that is written, renamed over, removed and back") {
    write(files[0], "1");
    start();
    write(files[0], "2");
    CHECK(calls() == 1);
    write(folder / "table.new", "3");
    CHECK(calls() == 1);  // Another name.
    fs::rename(folder / "table.new", files[0]);
    CHECK(calls() == 2);
    fs::remove(files[0]);
    CHECK(calls() == 3);
    write(files[0], "4");
    CHECK(calls() == 4);
    fs::rename(files[0], folder / "table.yaml~");  // As editors do that keep a copy.
    write(files[0], "5");
    CHECK(calls() == 5);
    CHECK(pokes == 0);
}

TEST_CASE_FIXTURE(Watching, "watch: many writes in a row are one change") {
    write(files[0], "0");
    start();
    for (int i = 0; i < 20; ++i) {
        write(files[0], std::to_string(i));
        std::this_thread::sleep_for(quiet / 10);
    }
    CHECK(calls() == 1);
}

TEST_CASE_FIXTURE(Watching, "watch: a ConfigMap swaps the link that all its files go through") {
    fs::create_directory(folder / "..1");
    write(folder / "..1/table.yaml", "1");
    fs::create_directory_symlink("..1", folder / "..data");
    fs::create_symlink("..data/table.yaml", files[0]);
    start();
    for (int i = 2; i < 5; ++i) {
        const std::string next = folder / (".." + std::to_string(i));
        fs::create_directory(next);
        write(next + "/table.yaml", std::to_string(i));
        fs::create_directory_symlink(".." + std::to_string(i), folder / "..data_tmp");
        fs::rename(folder / "..data_tmp", folder / "..data");
        fs::remove_all(folder / (".." + std::to_string(i - 1)));
        CHECK(calls() == i - 1);
    }
}

TEST_CASE_FIXTURE(Watching, "watch: links through other folders, each of which may change") {
    fs::create_directories(folder / "a/real");
    fs::create_directory(folder / "b");
    write(folder / "a/real/t", "1");
    fs::create_directory_symlink(folder / "a", folder / "b/link");
    fs::create_symlink("b/link/real/t", files[0]);
    CHECK(hops_of(files[0]).contains({folder / "b", "link"}));
    CHECK(hops_of(files[0]).contains({folder / "a/real", "t"}));
    CHECK(hops_of(files[0]).contains({folder.path.string(), "table.yaml"}));
    start();
    write(folder / "a/real/t", "2");
    CHECK(calls() == 1);
    fs::create_directories(folder / "c/real");
    write(folder / "c/real/t", "3");
    fs::remove(folder / "b/link");
    fs::create_directory_symlink(folder / "c", folder / "b/link");
    CHECK(calls() == 2);
    write(folder / "c/real/t", "4");
    CHECK(calls() == 3);
    write(folder / "a/real/t", "5");  // No longer on the way.
    CHECK(calls() == 3);
}

TEST_CASE_FIXTURE(Watching, "watch: a folder that comes later; links in a circle end") {
    files[0] = folder / "later/table.yaml";
    start();
    fs::create_directory(folder / "later");
    CHECK(calls() == 1);
    write(files[0], "1");
    CHECK(calls() == 2);
    fs::create_symlink("y", folder / "x");
    fs::create_symlink("x", folder / "y");
    CHECK(hops_of(folder / "x").size() == 2);
}

TEST_CASE_FIXTURE(Watching, "watch: a poke is passed on, also while nothing is watched") {
    files.clear();
    start();
    watch->poke();
    watch->poke();
    std::this_thread::sleep_for(2 * quiet);
    CHECK(pokes >= 1);
    CHECK(changes == 0);
    watch.reset();
}
