#include "server/watch.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

namespace server {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t end_bit = 1ULL << 32;  // Far above any number of pokes.
constexpr int links_max = 40;                  // As the kernel.
constexpr std::uint32_t events = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                 IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                 IN_ONLYDIR;

/// Names of a path still to be walked, the next one last.
void push_names(std::vector<fs::path>& names, const fs::path& path) {
    std::vector<fs::path> all(path.begin(), path.end());
    for (auto name = all.rbegin(); name != all.rend(); ++name) names.push_back(*name);
}

}  // namespace

std::set<WatchedName> hops_of(const std::string& path) {
    std::set<WatchedName> hops;
    std::vector<fs::path> names;
    std::error_code error;
    fs::path at = "/";
    push_names(names, fs::absolute(path, error).relative_path());
    for (int links = 0; !names.empty();) {
        const fs::path name = names.back();
        names.pop_back();
        if (name.empty() || name == ".") continue;
        if (name == "..") {
            at = at.parent_path();
            continue;
        }
        const fs::file_status status = fs::symlink_status(at / name, error);
        const bool link = status.type() == fs::file_type::symlink;
        if (link || names.empty() || !fs::exists(status)) {
            hops.insert({at.string(), name.string()});
        }
        if (link && ++links <= links_max) {
            const fs::path to = fs::read_symlink(at / name, error);
            if (to.is_absolute()) at = "/";
            push_names(names, to.relative_path());
        } else if (link || !fs::exists(status)) {
            break;
        } else {
            at /= name;
        }
    }
    return hops;
}

FileWatch::FileWatch(Calls calls, std::chrono::milliseconds quiet)
    : calls_(std::move(calls)),
      quiet_(quiet),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (inotify_.fd() < 0) {
        spdlog::warn("table files are not watched: {}", std::strerror(errno));
    }
    watch_again();
    thread_ = std::thread([this] { run(); });
}

FileWatch::~FileWatch() {
    [[maybe_unused]] const auto written = ::write(bell_.fd(), &end_bit, sizeof end_bit);
    thread_.join();
}

void FileWatch::poke() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(bell_.fd(), &one, sizeof one);
}

void FileWatch::run() {
    for (;;) {
        std::array<pollfd, 2> fds{{{bell_.fd(), POLLIN, 0}, {inotify_.fd(), POLLIN, 0}}};
        if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
        std::uint64_t rings = 0;
        if ((fds[0].revents & POLLIN) != 0 &&
            ::read(bell_.fd(), &rings, sizeof rings) == sizeof rings) {
            if (rings >= end_bit) return;
            calls_.poked();
            watch_again();
        }
        if ((fds[1].revents & POLLIN) == 0 || !read_events()) continue;
        if (!wait_for_quiet()) continue;  // Poked, or at its end: the loop looks.
        // What came between this and the look at the files is seen as another change.
        watch_again();
        calls_.changed();
        watch_again();
    }
}

/// Watches are made anew, because a link may lead elsewhere by now.
void FileWatch::watch_again() {
    std::map<std::string, int> folders;
    std::vector<std::pair<int, std::string>> now;
    for (const std::string& file : calls_.files()) {
        for (const auto& [folder, name] : hops_of(file)) {
            const auto known = folders.find(folder);
            const int watch = known != folders.end()
                                  ? known->second
                                  : ::inotify_add_watch(inotify_.fd(), folder.c_str(), events);
            folders.emplace(folder, watch);
            if (watch >= 0) now.emplace_back(watch, name);
        }
    }
    for (const auto& [watch, name] : watched_) {
        const bool stays = std::ranges::any_of(
            now, [watch = watch](const auto& each) { return each.first == watch; });
        if (!stays) ::inotify_rm_watch(inotify_.fd(), watch);  // Harmless for one that is gone.
    }
    watched_ = std::move(now);
}

/// True if any of them is about one of the names, or a folder itself.
bool FileWatch::read_events() {
    alignas(inotify_event) std::array<char, 4096> buffer;
    bool ours = false;
    for (;;) {
        const ssize_t got = ::read(inotify_.fd(), buffer.data(), buffer.size());
        if (got <= 0) return ours;
        for (ssize_t at = 0; at < got;) {
            inotify_event event;
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const char* name = buffer.data() + at + sizeof event;
            const std::string text(event.len == 0 ? "" : name);
            ours |= (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW)) != 0 ||
                    std::ranges::find(watched_, std::pair(event.wd, text)) != watched_.end();
            at += static_cast<ssize_t>(sizeof event + event.len);
        }
    }
}

/// False: somebody rang meanwhile.
bool FileWatch::wait_for_quiet() {
    auto until = std::chrono::steady_clock::now() + quiet_;
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left.count() <= 0) return true;
        std::array<pollfd, 2> fds{{{bell_.fd(), POLLIN, 0}, {inotify_.fd(), POLLIN, 0}}};
        ::poll(fds.data(), fds.size(), static_cast<int>(left.count()));
        if ((fds[0].revents & POLLIN) != 0) return false;
        if ((fds[1].revents & POLLIN) != 0 && read_events()) {
            until = std::chrono::steady_clock::now() + quiet_;
        }
    }
}

}  // namespace server
