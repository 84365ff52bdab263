#include "server/stores/file.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace server {

using dmcore::Bio;
using dmcore::Op;
using dmcore::sector_bytes;

namespace {

constexpr std::size_t bounce_bytes = 1U << 20;  // Of direct I/O with memory that is not aligned.

/// Aligned memory, in place of what direct I/O can't use.
struct Bounce {
    std::byte* data = static_cast<std::byte*>(std::aligned_alloc(4096, bounce_bytes));
    Bounce() = default;
    ~Bounce() { std::free(data); }
    Bounce(const Bounce&) = delete;
    Bounce& operator=(const Bounce&) = delete;
};

/// Copies `bytes` from where `iter` stands into `memory`, or back.
void copy(const dmcore::BioIter& iter, const dmcore::Segment* segments, std::byte* memory,
          std::uint64_t bytes, bool back) {
    dmcore::BioIter part = iter;
    part.bytes = bytes;
    dmcore::for_each_piece(part, segments, [&](std::byte* data, std::size_t length) {
        std::memcpy(back ? data : memory, back ? memory : data, length);
        memory += length;
    });
}

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
        file_->require_fit(name_, options);
    }
    limits_.fast_zero = file_->zeroes_fast();
    limits_.logical_block_bytes = std::max(limits_.logical_block_bytes, file_->direct_bytes());
}

void FileStore::run(Bio& bio) noexcept {
    int error = 0;
    switch (bio.op) {
        case Op::flush: break;
        case Op::prefetch: prefetch(bio); break;
        case Op::survey: survey(static_cast<dmcore::Survey&>(bio)); break;
        default: error = bio.iter.bytes == 0 ? 0 : run_guarded(bio);
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

int FileStore::run_guarded(const Bio& bio) noexcept {
    const bool exclusive = bio.op != Op::read;
    RangeGuards::Hold guard(file_->guards(), bio.iter.sector * sector_bytes, bio.iter.bytes,
                            exclusive);
    guard.lock();
    switch (bio.op) {
        case Op::discard: return discard(bio);
        case Op::write_zeroes: return write_zeroes(bio);
        default: return transfer(bio);
    }
}

void FileStore::take_run(Bios& bios, Bios& run) noexcept {
    for (std::size_t count = 1; Bio* const last = bios.pop(); ++count) {
        run.push_back(*last);
        const Bio* const next = bios.front();
        if (count == Pieces::most || next == nullptr || !goes_on(*last, *next)) return;
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

bool FileStore::guard(const Bios& bios, std::optional<RangeGuards::Hold>& hold) noexcept {
    const Bio& first = *bios.front();
    hold.emplace(file_->guards(), first.iter.sector * sector_bytes, bytes_of(bios),
                 first.op != Op::read);
    return hold->try_lock();
}

/// Nothing is in the page cache if it is passed by.
bool FileStore::try_read(const Bios& bios) noexcept {
    if (file_->direct_bytes() != 0) return false;
    std::optional<RangeGuards::Hold> hold;
    return guard(bios, hold) && transfer_at_once(bios, RWF_NOWAIT);
}

bool FileStore::gather(const Bios& bios, Pieces& pieces) const noexcept {
    for (const Bio* each = bios.front(); each != nullptr; each = following(*each)) {
        pieces.add(each->iter, each->segments);
    }
    const std::uint32_t block = file_->direct_bytes();
    return pieces.bytes == bytes_of(bios) && (block == 0 || pieces.aligned(block));
}

/// False: not all of it was done.
bool FileStore::transfer_at_once(const Bios& bios, int flags) noexcept {
    Pieces pieces;
    const Bio& first = *bios.front();
    if (!gather(bios, pieces)) return false;
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
    const std::uint32_t block = file_->direct_bytes();
    while (iter.bytes > 0) {
        Pieces pieces;
        pieces.add(iter, bio.segments);
        const bool fits = block == 0 || pieces.aligned(block);
        const ssize_t count =
            fits ? transfer_some(bio.op, iter, pieces) : transfer_copy(bio.op, iter, bio.segments);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno;
        if (count == 0) return EIO;
        dmcore::advance(iter, bio.segments, true, static_cast<std::uint64_t>(count));
    }
    return 0;
}

ssize_t FileStore::transfer_some(Op op, const dmcore::BioIter& iter,
                                 const Pieces& pieces) noexcept {
    const auto at = static_cast<off_t>(iter.sector * sector_bytes);
    return op == Op::read ? ::preadv(file_->fd(), pieces.all.data(), pieces.count, at)
                          : ::pwritev(file_->fd(), pieces.all.data(), pieces.count, at);
}

ssize_t FileStore::transfer_copy(Op op, const dmcore::BioIter& iter,
                                 const dmcore::Segment* segments) noexcept {
    const Bounce bounce;
    if (bounce.data == nullptr) {
        errno = ENOMEM;
        return -1;
    }
    Pieces aligned;
    aligned.bytes = std::min<std::uint64_t>(iter.bytes, bounce_bytes);
    aligned.all[static_cast<std::size_t>(aligned.count++)] = {bounce.data, aligned.bytes};
    if (op == Op::write) copy(iter, segments, bounce.data, aligned.bytes, false);
    const ssize_t count = transfer_some(op, iter, aligned);
    if (op == Op::read && count > 0) {
        copy(iter, segments, bounce.data, static_cast<std::uint64_t>(count), true);
    }
    return count;
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

void FileStore::prefetch(const Bio& bio) const noexcept {
    ::posix_fadvise(file_->fd(), static_cast<off_t>(bio.iter.sector * sector_bytes),
                    static_cast<off_t>(bio.iter.bytes), POSIX_FADV_WILLNEED);
}

/// Where the kernel can't tell, the rest of the range is not spoken of.
void FileStore::survey(dmcore::Survey& survey) const noexcept {
    std::uint64_t at = survey.iter.sector * sector_bytes;
    const std::uint64_t end = at + survey.iter.bytes;
    while (at < end) {
        const off_t found = ::lseek(file_->fd(), static_cast<off_t>(at), SEEK_DATA);
        if (found < 0 && errno != ENXIO) return;
        const std::uint64_t none = found < 0 ? end : static_cast<std::uint64_t>(found);
        const std::uint64_t data = std::min(end, none / sector_bytes * sector_bytes);
        if (data > at && !survey.add({(data - at) / sector_bytes, true, true})) return;
        if (data == end) return;
        const off_t hole = ::lseek(file_->fd(), static_cast<off_t>(data), SEEK_HOLE);
        if (hole < 0) return;
        const std::uint64_t up =
            (static_cast<std::uint64_t>(hole) + sector_bytes - 1) / sector_bytes;
        const std::uint64_t next = std::min(end, up * sector_bytes);
        if (!survey.add({(next - data) / sector_bytes, false, false})) return;
        at = next;
    }
}

int FileStore::write_zero_bytes(std::uint64_t at, std::uint64_t bytes) noexcept {
    alignas(4096) static std::byte zeroes[64 << 10];
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
