#include "server/stores/open_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "dmcore/bio.h"
#include "server/identity.h"

namespace server {
namespace {

constexpr std::uint32_t direct_bytes_default = 4096;  // Enough for every disk there is.

/// What a folder must do so that a file made in it survives a crash.
bool sync_folder(const std::string& path) {
    const std::string folder = std::filesystem::absolute(path).parent_path();
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool good = ::fsync(fd) == 0;
    ::close(fd);
    return good;
}

[[noreturn]] void fail(const std::string& store, const FileOptions& options, const char* step) {
    const int error = errno;
    throw StoreError("store '" + store + "': can't " + step + " " + options.path + ": " +
                     std::strerror(error));
}

}  // namespace

std::optional<FileIdentity> identity_of(const std::string& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0) return std::nullopt;
    return FileIdentity{found.st_dev, found.st_ino};
}

OpenFile::OpenFile(const std::string& store, const FileOptions& options) {
    try {
        open(store, options);
    } catch (...) {
        if (fd_ >= 0) ::close(fd_);
        remove_if_made();
        throw;
    }
}

OpenFile::~OpenFile() {
    ::close(fd_);
}

void OpenFile::open(const std::string& store, const FileOptions& options) {
    struct stat named {};
    const bool disk = ::stat(options.path.c_str(), &named) == 0 && S_ISBLK(named.st_mode);
    // Of a disk: not while a file system or the like has it.
    const int flags = O_RDWR | O_CLOEXEC | (options.direct ? O_DIRECT : 0) | (disk ? O_EXCL : 0);
    fd_ = ::open(options.path.c_str(), flags);
    const bool missing = fd_ < 0 && errno == ENOENT;
    if (missing && options.create) {
        fd_ = ::open(options.path.c_str(), flags | O_CREAT | O_EXCL, 0600);
        if (fd_ >= 0) made_path_ = std::filesystem::absolute(options.path).string();
    }
    if (fd_ < 0) fail(store, options, missing && options.create ? "create" : "open");
    struct stat found {};
    if (::fstat(fd_, &found) != 0) fail(store, options, "look at");
    identity_ = {found.st_dev, found.st_ino};
    data_identity_ = file_identity(fd_);
    if (!S_ISREG(found.st_mode) && !S_ISBLK(found.st_mode)) {
        throw StoreError("store '" + store + "': " + options.path +
                         " is neither a file nor a disk");
    }
    lock(store, options);
    if (options.direct) look_at_blocks(store, options);
    if (options.create && found.st_size == 0 && S_ISREG(found.st_mode)) grow(store, options);
    require_fit(store, options);
    // Also for one that is there: whoever made it may have died before this.
    if (!options.create) return;
    if (::fsync(fd_) != 0 || !sync_folder(options.path)) fail(store, options, "sync");
}

void OpenFile::lock(const std::string& store, const FileOptions& options) const {
    flock whole{};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(fd_, F_OFD_SETLK, &whole) == 0) return;
    if (errno != EAGAIN && errno != EACCES) fail(store, options, "lock");
    throw StoreError("store '" + store + "': " + options.path +
                     " is in use by another server; a file is served by one at a time");
}

/// Only an empty file: one just made, or one whose maker died in between. Never truncates.
void OpenFile::grow(const std::string& store, const FileOptions& options) const {
    const auto bytes = static_cast<off_t>(options.size_sectors * dmcore::sector_bytes);
    if (::ftruncate(fd_, bytes) != 0) fail(store, options, "size");
}

void OpenFile::require_fit(const std::string& store, const FileOptions& options) const {
    if (options.direct != (direct_bytes_ != 0)) {
        throw StoreError("store '" + store + "': " + options.path +
                         " is open now: 'direct' can be changed when nothing uses it");
    }
    const std::uint64_t wanted = options.size_sectors * dmcore::sector_bytes;
    const std::uint64_t size = size_bytes(store, options);
    if (size >= wanted) return;
    throw StoreError("store '" + store + "': " + options.path + " has " + std::to_string(size) +
                     " bytes, less than the " + std::to_string(wanted) + " of its 'size'");
}

bool OpenFile::zeroes_fast() const noexcept {
    struct stat found {};
    if (::fstat(fd_, &found) != 0 || !S_ISREG(found.st_mode)) return false;
    // Behind its end there is nothing that this could change.
    return ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, found.st_size, 4096) == 0;
}

std::uint64_t OpenFile::size_bytes(const std::string& store, const FileOptions& options) const {
    const off_t end = ::lseek(fd_, 0, SEEK_END);  // Of a disk, too.
    if (end < 0) fail(store, options, "look at");
    return static_cast<std::uint64_t>(end);
}

void OpenFile::look_at_blocks(const std::string& store, const FileOptions& options) {
    struct statx found {};
    if (::statx(fd_, "", AT_EMPTY_PATH, STATX_DIOALIGN, &found) != 0) {
        fail(store, options, "look at");
    }
    direct_bytes_ = direct_bytes_default;
    if ((found.stx_mask & STATX_DIOALIGN) == 0) return;  // An old kernel, or file system.
    direct_bytes_ = std::max(
        {found.stx_dio_mem_align, found.stx_dio_offset_align, std::uint32_t{dmcore::sector_bytes}});
    if (found.stx_dio_offset_align != 0 && direct_bytes_ <= direct_bytes_default) return;
    throw StoreError("store '" + store + "': " + options.path +
                     " can't be used with 'direct': its file system has no direct I/O for it");
}

void OpenFile::remove_if_made() noexcept {
    if (made_path_.empty() || identity_of(made_path_) != identity_) return;
    ::unlink(made_path_.c_str());
}

bool OpenFile::sync() noexcept {
    std::unique_lock lock(sync_mutex_);
    const std::uint64_t mine = ++sync_wanted_;
    while (!sync_failed_ && sync_reached_ < mine) {
        if (syncing_) {
            sync_done_.wait(lock);
            continue;
        }
        syncing_ = true;
        const std::uint64_t covered = sync_wanted_;
        lock.unlock();
        const bool good = ::fdatasync(fd_) == 0;
        lock.lock();
        syncing_ = false;
        if (good) {
            sync_reached_ = covered;
        } else {
            sync_failed_ = true;
        }
        sync_done_.notify_all();
    }
    return !sync_failed_;
}

}  // namespace server
