#include "server/identity.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace server {
namespace {

std::string hex(std::uint64_t number) {
    char text[17];
    std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(number));
    return text;
}

/// FNV-1a, for std::hash may differ from build to build.
std::uint64_t hash_of(const std::vector<std::string>& texts) {
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3; };
    for (const std::string& text : texts) {
        for (const char each : text) add(static_cast<unsigned char>(each));
        add(0);
    }
    return hash;
}

std::uint64_t random_number() {
    std::uint64_t number = 0;
    if (::getrandom(&number, sizeof number, 0) != sizeof number) {
        throw std::runtime_error("the kernel gives no random number");
    }
    return number;
}

/// Short, but different for every boot of this machine.
std::string boot_text() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(file, id);
    return id.substr(0, id.find('-'));
}

}  // namespace

std::uint64_t this_run() {
    static const std::uint64_t number = random_number();
    return number;
}

std::string new_memory_identity() {
    static std::atomic<std::uint64_t> count{0};
    return "memory:" + hex(this_run()) + ':' + std::to_string(++count);
}

std::string file_identity(int fd) {
    static const std::string boot = boot_text();
    struct statx found {};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &found) != 0) return {};
    std::string text = "file:" + boot + ':' + hex(found.stx_dev_major) + ':' +
                       hex(found.stx_dev_minor) + ':' + std::to_string(found.stx_ino);
    if ((found.stx_mask & STATX_BTIME) == 0) return text;
    return text + ':' + hex(static_cast<std::uint64_t>(found.stx_btime.tv_sec)) + '.' +
           hex(found.stx_btime.tv_nsec);
}

std::string stack_identity(const std::string& device, const std::vector<std::string>& below) {
    if (std::ranges::any_of(below, &std::string::empty)) return {};
    if (below.empty()) return device + "@nothing";
    if (below.size() == 1) return device + '@' + below.front();
    return device + '@' + std::to_string(below.size()) + " stores:" + hex(hash_of(below));
}

}  // namespace server
