#include "server/attach/device.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "config/diagnostic.h"
#include "config/values.h"
#include "server/attach/error.h"
#include "server/attach/limits.h"

namespace server::attach {
namespace {

using Kind = AttachError::Kind;

constexpr std::string_view prefix = "/dev/nbd";
constexpr unsigned index_max = 65535;
constexpr std::chrono::milliseconds look_again{20};

std::string sysfs_path(unsigned index) {
    return "/sys/block/nbd" + std::to_string(index);
}

bool may_administer() {
    __user_cap_header_struct head{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
    if (::syscall(SYS_capget, &head, data) != 0) return ::geteuid() == 0;
    return (data[CAP_SYS_ADMIN / 32].effective >> CAP_SYS_ADMIN % 32 & 1) != 0;
}

/// False: the time is over.
template <class Condition>
bool within(std::chrono::milliseconds time, const Condition& condition) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= until) return false;
        std::this_thread::sleep_for(look_again);
    }
    return true;
}

/// Is it a `dmnbd attach` of that device? Others may have its number by now.
bool keeps_attached(pid_t pid, unsigned index) {
    const std::string folder = "/proc/" + std::to_string(pid);
    std::string command;
    std::getline(std::ifstream(folder + "/comm"), command);
    if (command != "dmnbd" || pid == ::getpid()) return false;
    std::error_code ignored;
    // Not by a range: its ++ throws when that process ends meanwhile.
    for (std::filesystem::directory_iterator fd(folder + "/fd", ignored), end; fd != end;
         fd.increment(ignored)) {
        if (std::filesystem::read_symlink(fd->path(), ignored) == device_path(index)) return true;
    }
    return false;
}

/// False: it is in use.
bool try_connect(Driver& driver, unsigned index, const Setup& setup) {
    try {
        driver.connect(index, setup);
        return true;
    } catch (const std::system_error& error) {
        if (error.code().value() == EBUSY) return false;
        if (error.code().value() != EPERM) throw;
        throw AttachError(Kind::failed, "the kernel lets nobody here attach a device",
                          "it wants CAP_SYS_ADMIN of the machine, not of a container");
    }
}

}  // namespace

unsigned device_index(std::string_view name) {
    const auto index = name.starts_with(prefix)
                           ? config::parse_count(name.substr(prefix.size()), index_max)
                           : tl::unexpected(config::ValueError{});
    if (index) return static_cast<unsigned>(*index);
    throw AttachError(Kind::usage, config::in_quotes(name) + " is not the name of an nbd device",
                      "write /dev/nbdN, as in /dev/nbd0");
}

std::string device_path(unsigned index) {
    return std::string(prefix) + std::to_string(index);
}

void require_driver() {
    if (!std::filesystem::exists("/sys/module/nbd")) {
        throw AttachError(Kind::failed, "this kernel has not loaded its nbd driver",
                          "modprobe nbd, as root");
    }
    if (!may_administer()) {
        throw AttachError(Kind::failed, "attaching and detaching need root, or CAP_SYS_ADMIN",
                          "nothing else of dmnbd does: the server may go on as it is");
    }
}

std::optional<pid_t> attached_by(unsigned index) {
    pid_t pid = 0;
    std::ifstream file(sysfs_path(index) + "/pid");
    if (!(file >> pid)) return std::nullopt;
    return pid;
}

Socket open_device(unsigned index, bool exclusive) {
    const std::string path = device_path(index);
    Socket open(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (exclusive ? O_EXCL : 0)));
    if (open.fd() >= 0) return open;
    if (errno == EBUSY) {
        throw AttachError(Kind::in_use, path + " is in use: it is mounted, or a part of something",
                          "unmount it first; --force detaches it all the same, and what was not "
                          "written is lost");
    }
    throw AttachError(errno == ENOENT || errno == ENXIO ? Kind::no_such : Kind::failed,
                      "can't open " + path + ": " + std::strerror(errno));
}

void connect_device(Driver& driver, unsigned index, const Setup& setup) {
    bool connected = false;
    within(busy_time, [&] {
        connected = try_connect(driver, index, setup);
        return connected || attached_by(index);
    });
    if (connected) return;
    const auto pid = attached_by(index);
    throw AttachError(
        Kind::in_use,
        device_path(index) + " is in use: " +
            (pid ? "process " + std::to_string(*pid) + " has attached it" : "somebody has it open"),
        "take another device, or free it with `dmnbd detach`");
}

bool detach_device(Driver& driver, unsigned index, Socket open, bool sync) {
    {
        std::future<void> synced;
        if (sync) {
            synced = std::async(std::launch::async, [&open] { (void)!::fsync(open.fd()); });
            synced.wait_for(sync_time);
        }
        driver.disconnect(index);  // Ends a sync that still waits.
    }
    open = Socket();
    return within(release_time, [&] { return !driver.in_use(index); });
}

void detach(unsigned index, bool force) {
    require_driver();
    const auto pid = attached_by(index);
    if (!pid) throw AttachError(Kind::no_such, device_path(index) + " is not attached");
    Socket open = open_device(index, !force);
    Driver driver;
    if (!keeps_attached(*pid, index)) {
        if (detach_device(driver, index, std::move(open), true)) return;
    } else {
        // Not exclusively any more: that one has a look of its own.
        open = Socket();
        ::kill(*pid, SIGTERM);
        if (within(sync_time + release_time + patience, [&] { return !attached_by(index); }))
            return;
    }
    throw AttachError(Kind::in_use, device_path(index) + " is detached, but somebody has it open",
                      "it can be attached again when that one closes it");
}

}  // namespace server::attach
