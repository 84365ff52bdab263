#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/net/sockets.h"

namespace server {

/// A name in a folder.
struct WatchedName {
    std::string folder;
    std::string name;
    auto operator<=>(const WatchedName&) const = default;
};

/// Where a change may make `path` mean another file or other bytes: each symlink on the way, and
/// what stands at its end. The way ends at the first name that is not there.
std::set<WatchedName> hops_of(const std::string& path);

/// A thread that says when files may have changed: they were written, replaced by a rename (as
/// editors do), or a link on their way was (as Kubernetes does), and then nothing happened for a
/// while. Made and destroyed on one thread.
class FileWatch {
  public:
    struct Calls {
        /// The files to watch now; asked again after each change.
        std::function<std::vector<std::string>()> files;
        std::function<void()> changed;  // Something has, or it only looks like it.
        std::function<void()> poked;
    };

    /// Calls come on a thread of its own, one at a time.
    explicit FileWatch(Calls calls, std::chrono::milliseconds quiet);
    /// Waits for a call under way.
    ~FileWatch();
    FileWatch(const FileWatch&) = delete;
    FileWatch& operator=(const FileWatch&) = delete;

    /// Has `poked` called. Any thread; also from a signal.
    void poke() noexcept;

  private:
    void run();
    void watch_again();
    bool read_events();
    bool wait_for_quiet();

    const Calls calls_;
    const std::chrono::milliseconds quiet_;
    Socket inotify_;
    Socket bell_;  // An eventfd: 1 for each poke, many for the end.
    std::vector<std::pair<int, std::string>> watched_;  // By watch: a name in that folder.
    std::thread thread_;
};

}  // namespace server
