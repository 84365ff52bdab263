#include "server/stores/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace server {

using dmcore::Bio;
using dmcore::Op;
using dmcore::sector_bytes;

namespace {

constexpr std::size_t pieces_max = 64;

struct Pieces {
    std::array<iovec, pieces_max> all;
    int count = 0;
    std::uint64_t bytes = 0;

    /// As much as there is room for of what is left of a bio.
    void add(const dmcore::BioIter& iter, const dmcore::Segment* segments) {
        dmcore::for_each_piece(iter, segments, [&](std::byte* data, std::size_t length) {
            if (count == static_cast<int>(pieces_max)) return;
            all[static_cast<std::size_t>(count++)] = {data, length};
            bytes += length;
        });
    }
};

Bio* following(const Bio& bio) noexcept {
    return static_cast<Bio*>(bio.next);
}

/// One call may do both. Not if one of them has to be durable: the other would wait for it.
bool goes_on(const Bio& bio, const Bio& next) noexcept {
    return has_data(bio.op) && next.op == bio.op && !bio.fua && !next.fua &&
           next.iter.sector == bio.iter.end();
}

std::uint64_t bytes_of(const FileStore::Bios& bios) noexcept {
    std::uint64_t bytes = 0;
    for (const Bio* each = bios.front(); each != nullptr; each = following(*each)) {
        bytes += each->iter.bytes;
    }
    return bytes;
}

}  // namespace

FileStore::FileStore(std::string name, const FileOptions& options, std::shared_ptr<OpenFile> file)
    : name_(std::move(name)),
      where_(dmcore::interned("store '" + name_ + "'")),
      punch_(options.punch),
      file_(std::move(file)) {
    limits_.size_sectors = options.size_sectors;
    limits_.write_cache = true;
    limits_.discard = true;
    if (file_ == nullptr) {
        file_ = std::make_shared<OpenFile>(name_, options);
    } else {
        file_->require_size(name_, options);
    }
}

void FileStore::run(Bio& bio) noexcept {
    int error = 0;
    if (bio.op != Op::flush && bio.iter.bytes != 0) {
        const bool exclusive = bio.op != Op::read;
        RangeGuards::Hold guard(file_->guards(), bio.iter.sector * sector_bytes, bio.iter.bytes,
                                exclusive);
        guard.lock();
        switch (bio.op) {
            case Op::discard: error = discard(bio); break;
            case Op::write_zeroes: error = write_zeroes(bio); break;
            default: error = transfer(bio);
        }
    }
    const bool durable = bio.op == Op::flush || (bio.fua && bio.op != Op::read);
    const bool lost = durable && error == 0 && !file_->sync();  // [O-5]
    if (error == 0 && !lost) return;
    errors_.fetch_add(1, std::memory_order_relaxed);
    bio.failure = {.status = lost ? dmcore::Status::io_error : dmcore::status_from_errno(error),
                   .sync_lost = durable,
                   .where = where_,
                   .sector = bio.iter.sector};
}

void FileStore::take_run(Bios& bios, Bios& run) noexcept {
    for (std::size_t count = 1; Bio* const last = bios.pop(); ++count) {
        run.push_back(*last);
        const Bio* const next = bios.front();
        if (count == pieces_max || next == nullptr || !goes_on(*last, *next)) return;
    }
}

void FileStore::run(const Bios& bios) noexcept {
    Bio* const first = bios.front();
    if (following(*first) != nullptr) {
        const bool exclusive = first->op != Op::read;
        RangeGuards::Hold guard(file_->guards(), first->iter.sector * sector_bytes, bytes_of(bios),
                                exclusive);
        guard.lock();
        if (transfer_at_once(bios, 0)) return;
    }
    // Each alone tells whose failure it is; to write the same bytes again does no harm.
    for (Bio* each = first; each != nullptr; each = following(*each)) run(*each);
}

bool FileStore::try_read(const Bios& bios) noexcept {
    RangeGuards::Hold guard(file_->guards(), bios.front()->iter.sector * sector_bytes,
                            bytes_of(bios), false);
    return guard.try_lock() && transfer_at_once(bios, RWF_NOWAIT);
}

/// False: not all of it was done.
bool FileStore::transfer_at_once(const Bios& bios, int flags) noexcept {
    Pieces pieces;
    const Bio& first = *bios.front();
    for (const Bio* each = &first; each != nullptr; each = following(*each)) {
        pieces.add(each->iter, each->segments);
    }
    if (pieces.bytes != bytes_of(bios)) return false;
    const auto at = static_cast<off_t>(first.iter.sector * sector_bytes);
    const ssize_t count = first.op == Op::read
                              ? ::preadv2(file_->fd(), pieces.all.data(), pieces.count, at, flags)
                              : ::pwritev2(file_->fd(), pieces.all.data(), pieces.count, at, flags);
    return count >= 0 && static_cast<std::uint64_t>(count) == pieces.bytes;
}

/// The whole of a read or write, however often the kernel stops short. A file that has become
/// shorter is an error, not zeroes.
int FileStore::transfer(const Bio& bio) noexcept {
    dmcore::BioIter iter = bio.iter;
    auto at = static_cast<off_t>(iter.sector * sector_bytes);
    while (iter.bytes > 0) {
        Pieces pieces;
        pieces.add(iter, bio.segments);
        const ssize_t count = bio.op == Op::read
                                  ? ::preadv(file_->fd(), pieces.all.data(), pieces.count, at)
                                  : ::pwritev(file_->fd(), pieces.all.data(), pieces.count, at);
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
    const int rc = ::fallocate(file_->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               static_cast<off_t>(bio.iter.sector * sector_bytes),
                               static_cast<off_t>(bio.iter.bytes));
    // A discard is a hint: where the file system can't, nothing is wrong.
    return rc == 0 || errno == EOPNOTSUPP ? 0 : errno;
}

int FileStore::write_zeroes(const Bio& bio) noexcept {
    const int how = bio.no_unmap ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
    const std::uint64_t at = bio.iter.sector * sector_bytes;
    const int rc = ::fallocate(file_->fd(), how | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
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

}  // namespace server
