#include "server/replay/replay.h"

#include <algorithm>
#include <vector>

namespace server::replay {

namespace lf = dmcore::log_format;

namespace {

constexpr std::size_t copy_bytes = 1 << 20;

/// Goes through the entries of `span` and returns the number of the first one after them.
template <class Visit>
std::uint64_t for_each_entry(const std::string& log, const Span& span, Visit&& visit) {
    LogReader reader(log);
    const std::string has = " has " + std::to_string(reader.entries()) + " entries";
    if (span.from > reader.entries()) {
        throw ReplayError("can't begin at entry " + std::to_string(span.from) + ": '" + log + "'" +
                          has);
    }
    if (span.to && *span.to > reader.entries()) {
        throw ReplayError("there are no " + std::to_string(*span.to) + " entries: '" + log + "'" +
                          has);
    }
    if (span.to && *span.to < span.from) {
        throw ReplayError("entry " + std::to_string(span.from) + " does not lie before the end, " +
                          std::to_string(*span.to));
    }
    while (const auto entry = reader.next()) {
        if (span.to && entry->number >= *span.to) return *span.to;
        if (entry->number < span.from) continue;
        visit(reader.file(), *entry);
        if (span.to_mark && (entry->flags & lf::mark) != 0 && entry->mark == *span.to_mark) {
            return entry->number + 1;
        }
    }
    if (span.to_mark) {
        throw ReplayError(
            "'" + log + "' has no mark '" + *span.to_mark + "'" +
            (span.from == 0 ? "" : " from entry " + std::to_string(span.from) + " on"));
    }
    return reader.entries();
}

void check(const Entry& entry, const File& target) {
    const std::uint64_t end = entry.at + entry.bytes;
    if (end <= target.size_bytes()) return;
    throw ReplayError("'" + target.path() + "' is too small: it has " +
                      std::to_string(target.size_bytes()) + " bytes, entry " +
                      std::to_string(entry.number) + " needs " + std::to_string(end));
}

void apply(const File& log, const Entry& entry, File& target, std::vector<std::byte>& buffer) {
    if ((entry.flags & lf::discard) != 0) {
        target.zero(entry.at, entry.bytes);
        return;
    }
    for (std::uint64_t done = 0; done < entry.bytes;) {
        const auto step = std::min<std::uint64_t>(entry.bytes - done, buffer.size());
        const auto piece = std::span(buffer).first(step);
        log.read(entry.data_at + done, piece);
        target.write(entry.at + done, piece);
        done += step;
    }
}

}  // namespace

std::uint64_t replay(const std::string& log, const Span& span, const std::string& target) {
    File onto(target, true);
    const std::uint64_t next =
        for_each_entry(log, span, [&](const File&, const Entry& entry) { check(entry, onto); });
    std::vector<std::byte> buffer(copy_bytes);
    for_each_entry(log, span,
                   [&](const File& file, const Entry& entry) { apply(file, entry, onto, buffer); });
    onto.sync();
    return next;
}

}  // namespace server::replay
