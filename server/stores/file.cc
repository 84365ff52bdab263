#include "server/stores/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

namespace server {

using dmcore::Bio;
using dmcore::Op;
using dmcore::sector_bytes;

namespace {

constexpr std::uint64_t guarded_bytes = 64U << 10;
constexpr std::size_t pieces_max = 64;

struct Pieces {
    std::array<iovec, pieces_max> all;
    int count = 0;
};

/// The next pieces of what is left of a bio.
Pieces pieces_of(const dmcore::BioIter& iter, const dmcore::Segment* segments) {
    Pieces pieces;
    dmcore::for_each_piece(iter, segments, [&](std::byte* data, std::size_t bytes) {
        if (pieces.count < static_cast<int>(pieces_max)) {
            pieces.all[static_cast<std::size_t>(pieces.count++)] = {data, bytes};
        }
    });
    return pieces;
}

/// What a folder must do so that a file made in it survives a crash.
bool sync_folder(const std::string& path) {
    const std::string folder = std::filesystem::absolute(path).parent_path();
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool good = ::fsync(fd) == 0;
    ::close(fd);
    return good;
}

}  // namespace

/// Holds the guards of a range, in ascending order so that two ranges can't block each other.
class FileStore::RangeGuard {
  public:
    RangeGuard(FileStore& store, std::uint64_t at, std::uint64_t bytes, bool exclusive)
        : store_(store), exclusive_(exclusive) {
        const std::uint64_t first = at / guarded_bytes;
        const std::uint64_t blocks = (at + bytes - 1) / guarded_bytes - first + 1;
        const std::uint64_t begin = first % guard_count;
        all_ = blocks >= guard_count;
        begin_ = static_cast<std::size_t>(begin);
        count_ = static_cast<std::size_t>(std::min<std::uint64_t>(blocks, guard_count));
    }

    void lock() noexcept {
        for_each(
            [&](std::shared_mutex& guard) { exclusive_ ? guard.lock() : guard.lock_shared(); });
        held_ = true;
    }

    bool try_lock() noexcept {
        if (count_ != 1) return false;
        std::shared_mutex& guard = store_.guards_[begin_];
        held_ = exclusive_ ? guard.try_lock() : guard.try_lock_shared();
        return held_;
    }

    ~RangeGuard() {
        if (!held_) return;
        for_each(
            [&](std::shared_mutex& guard) { exclusive_ ? guard.unlock() : guard.unlock_shared(); });
    }
    RangeGuard(const RangeGuard&) = delete;
    RangeGuard& operator=(const RangeGuard&) = delete;

  private:
    template <class Visit>
    void for_each(Visit&& visit) {
        const std::size_t wrapped =
            begin_ + count_ > guard_count ? begin_ + count_ - guard_count : 0;
        const std::size_t begin = all_ ? 0 : begin_;
        for (std::size_t i = 0; i < (all_ ? 0 : wrapped); ++i) visit(store_.guards_[i]);
        for (std::size_t i = begin; i < std::min(begin + count_, guard_count); ++i) {
            visit(store_.guards_[i]);
        }
    }

    FileStore& store_;
    bool exclusive_;
    bool all_ = false;
    bool held_ = false;
    std::size_t begin_ = 0;
    std::size_t count_ = 0;
};

FileStore::FileStore(std::string name, const Options& options)
    : name_(std::move(name)),
      where_(dmcore::interned("store '" + name_ + "'")),
      punch_(options.punch) {
    limits_.size_sectors = options.size_sectors;
    limits_.write_cache = true;
    limits_.discard = true;
    try {
        open(options);
    } catch (...) {
        if (fd_ >= 0) ::close(fd_);
        throw;
    }
}

FileStore::~FileStore() {
    ::close(fd_);
}

void FileStore::fail(const Options& options, const char* step) const {
    const int error = errno;
    throw StoreError("store '" + name_ + "': can't " + step + " " + options.path + ": " +
                     std::strerror(error));
}

void FileStore::open(const Options& options) {
    fd_ = ::open(options.path.c_str(), O_RDWR | O_CLOEXEC);
    const bool missing = fd_ < 0 && errno == ENOENT;
    if (missing && options.create) {
        fd_ = ::open(options.path.c_str(), O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
    }
    if (fd_ < 0) fail(options, missing && options.create ? "create" : "open");
    lock(options);
    prepare_size(options);
}

void FileStore::lock(const Options& options) const {
    flock whole{};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(fd_, F_OFD_SETLK, &whole) == 0) return;
    if (errno != EAGAIN && errno != EACCES) fail(options, "lock");
    throw StoreError("store '" + name_ + "': " + options.path +
                     " is in use by another server; a file is served by one at a time");
}

/// Grows only an empty file: one just made, or one whose maker died in between. Never truncates.
void FileStore::prepare_size(const Options& options) {
    struct stat found {};
    if (::fstat(fd_, &found) != 0) fail(options, "look at");
    if (!S_ISREG(found.st_mode)) {
        throw StoreError("store '" + name_ + "': " + options.path + " is not a regular file");
    }
    const std::uint64_t wanted = options.size_sectors * sector_bytes;
    const auto size = static_cast<std::uint64_t>(found.st_size);
    if (options.create && size == 0) {
        if (::ftruncate(fd_, static_cast<off_t>(wanted)) != 0) fail(options, "size");
    } else if (size < wanted) {
        throw StoreError("store '" + name_ + "': " + options.path + " has " + std::to_string(size) +
                         " bytes, less than the " + std::to_string(wanted) + " of its 'size'");
    }
    // Also for one that is there: whoever made it may have died before this.
    if (!options.create) return;
    if (::fsync(fd_) != 0 || !sync_folder(options.path)) fail(options, "sync");
}

void FileStore::run(Bio& bio) noexcept {
    int error = 0;
    if (bio.op != Op::flush && bio.iter.bytes != 0) {
        const bool exclusive = bio.op != Op::read;
        RangeGuard guard(*this, bio.iter.sector * sector_bytes, bio.iter.bytes, exclusive);
        guard.lock();
        switch (bio.op) {
            case Op::discard: error = discard(bio); break;
            case Op::write_zeroes: error = write_zeroes(bio); break;
            default: error = transfer(bio);
        }
    }
    const bool durable = bio.op == Op::flush || (bio.fua && bio.op != Op::read);
    const bool lost = durable && error == 0 && !sync();  // [O-5]
    if (error == 0 && !lost) return;
    bio.failure = {.status = lost ? dmcore::Status::io_error : dmcore::status_from_errno(error),
                   .sync_lost = durable,
                   .where = where_,
                   .sector = bio.iter.sector};
}

bool FileStore::try_read(const Bio& bio) noexcept {
    RangeGuard guard(*this, bio.iter.sector * sector_bytes, bio.iter.bytes, false);
    if (!guard.try_lock()) return false;
    const Pieces pieces = pieces_of(bio.iter, bio.segments);
    const ssize_t got = ::preadv2(fd_, pieces.all.data(), pieces.count,
                                  static_cast<off_t>(bio.iter.sector * sector_bytes), RWF_NOWAIT);
    return got >= 0 && static_cast<std::uint64_t>(got) == bio.iter.bytes;
}

/// The whole of a read or write, however often the kernel stops short. A file that has become
/// shorter is an error, not zeroes.
int FileStore::transfer(const Bio& bio) noexcept {
    dmcore::BioIter iter = bio.iter;
    auto at = static_cast<off_t>(iter.sector * sector_bytes);
    while (iter.bytes > 0) {
        const Pieces pieces = pieces_of(iter, bio.segments);
        const ssize_t count = bio.op == Op::read
                                  ? ::preadv(fd_, pieces.all.data(), pieces.count, at)
                                  : ::pwritev(fd_, pieces.all.data(), pieces.count, at);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno;
        if (count == 0) return EIO;
        at += count;
        dmcore::advance(iter, bio.segments, true, static_cast<std::uint64_t>(count));
    }
    return 0;
}

int FileStore::discard(const Bio& bio) noexcept {
    if (!punch_) return 0;
    const int rc = ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               static_cast<off_t>(bio.iter.sector * sector_bytes),
                               static_cast<off_t>(bio.iter.bytes));
    // A discard is a hint: where the file system can't, nothing is wrong.
    return rc == 0 || errno == EOPNOTSUPP ? 0 : errno;
}

int FileStore::write_zeroes(const Bio& bio) noexcept {
    const int how = bio.no_unmap ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
    const std::uint64_t at = bio.iter.sector * sector_bytes;
    const int rc = ::fallocate(fd_, how | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                               static_cast<off_t>(bio.iter.bytes));
    if (rc == 0) return 0;
    return errno == EOPNOTSUPP ? write_zero_bytes(at, bio.iter.bytes) : errno;
}

int FileStore::write_zero_bytes(std::uint64_t at, std::uint64_t bytes) noexcept {
    static std::byte zeroes[64 << 10];
    dmcore::Segment segment{zeroes, sizeof zeroes};
    Bio part;
    part.op = Op::write;
    part.segments = &segment;
    for (std::uint64_t done = 0; done < bytes; done += part.iter.bytes) {
        part.iter = {.sector = (at + done) / sector_bytes,
                     .bytes = std::min<std::uint64_t>(sizeof zeroes, bytes - done)};
        if (const int error = transfer(part)) return error;
    }
    return 0;
}

bool FileStore::sync() noexcept {
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
