#include "sim/trace.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace sim {
namespace {

constexpr const char* names[] = {
    "seed",
    "client sends (request, op, sector)",
    "client is answered (request, status, op)",
    "client sends again (request, old request, connection)",
    "connection dies (connection)",
    "store gets (disk, op, sector<<16|sectors)",
    "store ends (disk, status, sector<<16|sectors)",
    "agenda runs (shard)",
    "post runs (where)",
    "timer fires (ms)",
    "suspend begins (device, noflush)",
    "suspended (device)",
    "suspend is undone (device)",
    "resume begins (device, with a table, noflush)",
    "table is live (device)",
    "crash",
    "remote forgets (disk)",
    "all is quiet (answers)",
};
static_assert(std::size(names) == static_cast<std::size_t>(What::count));

}  // namespace

Trace::Trace(std::uint64_t seed, bool verbose) : seed_(seed), verbose_(verbose), hash_(seed) {}

void Trace::note(What what, std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
    constexpr std::uint64_t prime = 0x9e3779b97f4a7c15U;
    hash_ = (hash_ ^ static_cast<std::uint64_t>(what) ^ a << 8 ^ b << 24 ^ c << 40) * prime;
    hash_ ^= hash_ >> 29;
    const Event event{what, a, b, c};
    last_[++events_ % last_.size()] = event;
    if (verbose_) [[unlikely]]
        print(events_, event);
}

void Trace::print(Moment when, const Event& event) noexcept {
    std::fprintf(stderr, "%8u  %s: %llu %llu %#llx\n", when,
                 names[static_cast<std::size_t>(event.what)],
                 static_cast<unsigned long long>(event.a), static_cast<unsigned long long>(event.b),
                 static_cast<unsigned long long>(event.c));
}

void Trace::violation(const char* format, ...) const noexcept {
    const Moment first =
        events_ < last_.size() ? 1 : events_ - static_cast<Moment>(last_.size()) + 1;
    for (Moment i = first; !verbose_ && i <= events_; ++i) print(i, last_[i % last_.size()]);
    std::fprintf(stderr,
                 "\nVIOLATION with seed %llu at event %u: ", static_cast<unsigned long long>(seed_),
                 events_);
    std::va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "\nrepeat: build/release/test/dm-sim --seed %llu --verbose\n",
                 static_cast<unsigned long long>(seed_));
    std::fflush(nullptr);
    std::_Exit(1);
}

}  // namespace sim
