#pragma once

#include <cstddef>
#include <cstdint>

#include "dmcore/queue.h"
#include "dmcore/status.h"

namespace dmcore {

inline constexpr std::uint64_t sector_bytes = 512;

class Agenda;
class Loans;
struct Parked;

enum class Op : std::uint8_t {
    read,
    write,
    flush,
    discard,
    write_zeroes,
    // Asked of a store itself; mapped devices never see these.
    prefetch,  // This range will be read soon. A hint.
    survey,    // Which of this range is data? Always a Survey.
};
inline constexpr std::size_t op_count = 5;  // Of those that mapped devices see.

/// Changes what a later read returns, so order against overlapping ones matters [O-1].
constexpr bool is_write_like(Op op) noexcept {
    return op == Op::write || op == Op::discard || op == Op::write_zeroes;
}

/// Carries bytes in segments; the others only name a range.
constexpr bool has_data(Op op) noexcept {
    return op == Op::read || op == Op::write;
}

/// One piece of memory of a bio's data. Borrowed.
struct Segment {
    std::byte* data = nullptr;
    std::size_t bytes = 0;
    bool shared = false;  // Made of whole SharedBytes: a store may hold them rather than copy.
};

/// Where a bio stands: what is left of it, from `sector` on. Splitting moves the front and never
/// the end (dm-semantics 2.2), so a distance to the end is enough to find any earlier front again.
struct BioIter {
    std::uint64_t sector = 0;   // Of the device the bio was submitted to.
    std::uint64_t bytes = 0;    // Left, from `sector` on.
    std::uint32_t segment = 0;  // Index of the segment in which the data continues...
    std::size_t done = 0;       // ...and how many of its bytes lie before that.

    std::uint64_t sectors() const noexcept { return bytes / sector_bytes; }
    std::uint64_t end() const noexcept { return sector + sectors(); }
};

/// Who asked. Lives as long as any bio that names it; used on its shard only.
struct Origin {
    bool dead = false;  // Its connection is gone: nothing more of it may be issued [O-2].
};

/// Why an I/O failed, and where. `where` is a string that lives for ever (see interned()).
struct Failure {
    Status status = Status::ok;
    bool injected = false;   // Made by a target on purpose, not by a store.
    bool sync_lost = false;  // A store failed a flush or a FUA write: never to be retried [O-3].
    bool recalled = false;   // A requeue that a suspend above asked for (BlockDevice::recall).
    const char* where = nullptr;  // "flakey down on 'flaky'", "store 'img0'"; null: nothing to add.
    std::uint64_t sector = 0;     // On the device or store that `where` names.
};

/// One I/O on one device, as the kernel's bio: splitting trims it from the front. The submitter
/// owns it and keeps it and its data until `done` runs: exactly once, on the shard that submitted
/// it, and never inside submit().
struct Bio : Link {
    using Done = void (*)(Bio&) noexcept;

    Op op = Op::read;
    bool fua = false;
    bool no_unmap = false;  // write_zeroes must keep the space allocated.
    std::uint32_t remaining =
        1;  // Parts not yet ended, the rest that is still to be split included.
    BioIter iter;
    const Segment* segments = nullptr;
    Loans* loans = nullptr;  // Takes what a store lends to a read; null: fill the segments.
    Failure failure;
    std::uint64_t failed_at = 0;  // First sector of the lowest part that failed [D-6].
    Done done = nullptr;
    void* owner = nullptr;     // For `done` alone.
    Agenda* agenda = nullptr;  // Of the submitting shard: where the bio ends.
    Origin* origin = nullptr;  // May be null: nobody who could die.
    Parked* parked = nullptr;  // Null until a part of this bio had to wait [O-1]; the lane's.

    /// One part, or the whole of an unsplit bio, ended well.
    void end() noexcept;

    /// One part ended badly. `at` is its first sector on the device this bio was submitted to. Of
    /// several parts the lowest wins [D-6], but a requeue beats errors unless one of them
    /// is sync_lost [O-3]; success never hides an error.
    void fail(const Failure& why, std::uint64_t at) noexcept;
};

/// Moves the front by `bytes` towards the end; `bytes` <= iter.bytes.
void advance(BioIter& iter, const Segment* segments, bool data, std::uint64_t bytes) noexcept;

/// Moves the front back by `bytes`, which must not lead past where the bio began [W-3]...[W-6].
void rewind(BioIter& iter, const Segment* segments, bool data, std::uint64_t bytes) noexcept;

/// Calls `visit(std::byte* data, std::size_t bytes)` for each piece of what is left, in order.
template <class Visit>
void for_each_piece(const BioIter& iter, const Segment* segments, Visit&& visit) {
    std::uint64_t left = iter.bytes;
    std::size_t skip = iter.done;
    for (std::uint32_t i = iter.segment; left > 0; ++i, skip = 0) {
        const std::size_t room = segments[i].bytes - skip;
        const std::size_t take = left < room ? static_cast<std::size_t>(left) : room;
        if (take > 0) visit(segments[i].data + skip, take);
        left -= take;
    }
}

}  // namespace dmcore
