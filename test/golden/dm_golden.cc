// Replays recordings of what a real kernel's device-mapper did, and compares. See README.md.
#include <iostream>

#include "golden/choices.h"
#include "golden/replay.h"

namespace {

constexpr const char* usage =
    "usage: dm-golden FILE...       replay recordings: a line each, then what differs\n"
    "       dm-golden --choices     where we differ on purpose, and why\n";

std::string case_name(const std::vector<golden::Event>& events, const std::string& path) {
    for (const golden::Event& event : events) {
        if (event.kind() == "case") return event.json.value("case", path);
    }
    return path;
}

/// True if all was as recorded.
bool replay(const std::string& path) {
    std::vector<golden::Event> events = golden::load(path);
    const std::string name = case_name(events, path);
    golden::Replay replay(std::move(events));
    const std::vector<golden::Difference> found = replay.run();
    std::cout << (found.empty() ? "ok " : "FAIL ") << name;
    for (const std::string& id : replay.chosen()) std::cout << " [" << id << ']';
    std::cout << '\n';
    for (const golden::Difference& one : found) {
        std::cout << "  " << path << ':' << one.line << ": " << one.what
                  << "\n    kernel: " << one.kernel << "\n    ours:   " << one.ours << '\n';
    }
    return found.empty();
}

void print_choices() {
    for (const golden::Choice& one : golden::all_choices()) {
        std::cout << '[' << one.id << "] " << one.what << "\n      because " << one.why << '\n';
    }
}

}  // namespace

int main(int count, char** words) {
    const std::vector<std::string> files(words + 1, words + count);
    if (files.empty() || files[0] == "--help") {
        std::cout << usage;
        return files.empty() ? 2 : 0;
    }
    if (files[0] == "--choices") {
        print_choices();
        return 0;
    }
    bool good = true;
    for (const std::string& file : files) {
        try {
            good = replay(file) && good;
        } catch (const std::exception& error) {
            std::cerr << "dm-golden: " << file << ": " << error.what() << '\n';
            return 2;
        }
    }
    return good ? 0 : 1;
}
