#include "dmcore/bio.h"

#include <cassert>

#include "dmcore/agenda.h"

namespace dmcore {

void Bio::end() noexcept {
    assert(remaining > 0);
    if (--remaining == 0) agenda->complete(*this);
}

void Bio::fail(const Failure& why, std::uint64_t at) noexcept {
    assert(why.status != Status::ok);
    const bool lost = failure.sync_lost || why.sync_lost;
    const bool requeue = why.status == Status::requeue;
    bool wins = failure.status == Status::ok || at < failed_at;
    if (failure.status != Status::ok && requeue != (failure.status == Status::requeue)) {
        wins = requeue != lost;
    }
    if (wins) {
        failure = why;
        failed_at = at;
    }
    failure.sync_lost = lost;
    end();
}

void advance(BioIter& iter, const Segment* segments, bool data, std::uint64_t bytes) noexcept {
    assert(bytes <= iter.bytes);
    iter.sector += bytes / sector_bytes;
    iter.bytes -= bytes;
    if (!data) return;
    std::uint64_t done = iter.done + bytes;
    while (done != 0 && done >= segments[iter.segment].bytes) {
        done -= segments[iter.segment].bytes;
        ++iter.segment;
    }
    iter.done = static_cast<std::size_t>(done);
}

void rewind(BioIter& iter, const Segment* segments, bool data, std::uint64_t bytes) noexcept {
    iter.sector -= bytes / sector_bytes;
    iter.bytes += bytes;
    if (!data) return;
    while (bytes > iter.done) {
        bytes -= iter.done;
        assert(iter.segment > 0);
        --iter.segment;
        iter.done = segments[iter.segment].bytes;
    }
    iter.done -= static_cast<std::size_t>(bytes);
}

}  // namespace dmcore
