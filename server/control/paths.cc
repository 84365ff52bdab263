#include "server/control/paths.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace server::control {
namespace {

/// In the order of preference. The last one can always be made, unless somebody took it.
std::vector<std::string> folders() {
    std::vector<std::string> found;
    if (const char* runtime = std::getenv("RUNTIME_DIRECTORY")) {
        const std::string list = runtime;  // systemd separates several by colons.
        if (!list.empty()) found.push_back(list.substr(0, list.find(':')));
    }
    found.push_back("/run/dmnbd");
    if (const char* user = std::getenv("XDG_RUNTIME_DIR"); user != nullptr && *user != '\0') {
        found.push_back(std::string(user) + "/dmnbd");
    }
    found.push_back("/tmp/dmnbd-" + std::to_string(::geteuid()));
    return found;
}

/// Nobody but root could have put it there, as in /run.
bool put_by_root(const std::string& folder) {
    const std::string parent = std::filesystem::path(folder).parent_path();
    struct stat found {};
    return ::stat(parent.c_str(), &found) == 0 && found.st_uid == 0 && (found.st_mode & 022) == 0;
}

/// A folder, no link to one, whose owner may see what is said there anyway. Root comes to any user
/// whom root has given a place: a service's, which may exist only while it runs.
bool trusted(const std::string& folder) {
    struct stat found {};
    if (::lstat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) return false;
    if (found.st_uid == ::geteuid() || found.st_uid == 0) return true;
    return ::geteuid() == 0 && put_by_root(folder);
}

std::string socket_in(const std::string& folder) {
    return folder + "/control.sock";
}

}  // namespace

std::string make_default_path() {
    std::string last;
    for (const std::string& folder : folders()) {
        ::mkdir(folder.c_str(), 0700);  // May be there; what counts is what can be done with it.
        if (trusted(folder) && ::access(folder.c_str(), W_OK | X_OK) == 0) return socket_in(folder);
        last = folder;
    }
    throw std::runtime_error("no folder for the control socket: " + last +
                             " is not a folder of this user that can be written; "
                             "name a socket with --control PATH");
}

std::string find_default_path() {
    for (const std::string& folder : folders()) {
        struct stat found {};
        std::string path = socket_in(folder);
        if (trusted(folder) && ::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) {
            return path;
        }
    }
    return {};
}

}  // namespace server::control
