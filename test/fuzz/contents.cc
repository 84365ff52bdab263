#include "fuzz/contents.h"

#include <cstring>

#include "fuzz/fuzz.h"
#include "server/nbd/wire.h"

namespace fuzz {
namespace {

using namespace server::nbd;

/// The word that all of a sector consists of. Null data: zeroes.
std::uint64_t word_of(const char* data) {
    if (data == nullptr) return 0;
    std::uint64_t word = 0;
    std::memcpy(&word, data, sizeof word);
    must(std::memcmp(data, data + sizeof word, 512 - sizeof word) == 0,
         "a sector is what one request has written [O-8]");
    return word;
}

template <class Visit>
void each_sector(const Answer& answer, Visit&& visit) {
    for (const Answer::Piece& piece : answer.data) {
        must(piece.offset_bytes % 512 == 0 && piece.bytes % 512 == 0, "chunks are whole sectors");
        for (std::uint64_t at = 0; at < piece.bytes; at += 512) {
            visit((piece.offset_bytes + at) / 512, piece.data ? piece.data + at : nullptr);
        }
    }
}

}  // namespace

void check_tiles(const Requests& requests, const Asked& asked, const Answer& answer, bool moved) {
    std::uint64_t at = asked.offset_bytes;
    for (const Answer::Piece& piece : answer.data) {
        must(piece.offset_bytes == at, "the pieces of a READ tile it");
        at += piece.bytes;
    }
    must(at == asked.offset_bytes + asked.length_bytes, "a READ is read to its end");
    each_sector(answer, [&](std::uint64_t sector, const char* data) {
        const std::uint64_t word = word_of(data);
        if (word == 0 || moved) return;
        const auto writer = writer_of(word, sector);
        must(writer && *writer < requests.all.size(), "what is read was written there");
        const Asked& write = requests.all[*writer];
        must(write.is_served() && write.is(Command::write) &&
                 sector * 512 - write.offset_bytes < write.length_bytes,
             "what is read was written by a good request");
    });
}

void check_extents(const Asked& asked, const Answer& answer) {
    must(answer.extents.size() == 2, "each context is told");
    for (const auto& [context, extents] : answer.extents) {
        must(
            context == number_of(MetaContext::allocation) || context == number_of(MetaContext::map),
            "it is one that was chosen");
        must(extents.size() == 1 || !asked.has(command_flag_req_one), "REQ_ONE is one");
        std::uint64_t left = asked.length_bytes;
        for (const auto& extent : extents) {
            must(extent.bytes > 0 && extent.bytes % 512 == 0, "an extent has a length");
            must(extent.bytes <= left, "extents lie inside of the request");
            left -= extent.bytes;
            must(context != 1 || extent.state <= 3, "base:allocation has two bits");
        }
    }
}

Contents::Contents(unsigned table) : table_(table), sectors_(sectors_max) {}

Contents::Row Contents::row(std::uint64_t sector) const {
    if (table_ != 1) return Row::stores;
    return sector < 2048 || sector >= 4096 ? Row::stores : sector < 3072 ? Row::zero : Row::error;
}

bool Contents::fails(const Asked& asked) const {
    const std::uint64_t first = asked.offset_bytes / 512;
    for (std::uint64_t i = first; i < first + asked.length_bytes / 512; ++i) {
        if (row(i) == Row::error) return true;
    }
    return false;
}

void Contents::check(const Requests& requests, std::size_t number, const Answer& answer) {
    const Asked& asked = requests.all[number];
    if (!asked.is_served()) return;
    const bool asks = asked.is(Command::block_status) || asked.is(Command::cache);
    if (!asks) {
        const std::uint32_t expected = fails(asked) ? 5 : 0;  // A flush is of no range.
        must(answer.error == expected, "it fails exactly where a row of errors is");
    }
    if (asked.is(Command::read) && answer.error == 0) check_read(answer);
    if (asked.is(Command::block_status)) check_status(asked, answer);
    change(asked, number);
}

void Contents::change(const Asked& asked, std::size_t number) {
    const bool write = asked.is(Command::write) && !asked.zeroes;
    const bool zero = asked.is(Command::write_zeroes) || asked.zeroes;
    if (!write && !zero && !asked.is(Command::trim)) return;
    const std::uint64_t first = asked.offset_bytes / 512;
    for (std::uint64_t i = first; i < first + asked.length_bytes / 512; ++i) {
        if (row(i) != Row::stores) continue;
        if (write) {
            sectors_[i] = {static_cast<std::int64_t>(number), false};
        } else if (zero) {
            sectors_[i] = {};
        } else {
            sectors_[i].or_zero = true;
        }
    }
}

void Contents::check_read(const Answer& answer) {
    each_sector(answer,
                [&](std::uint64_t sector, const char* data) { check_sector(sector, data); });
}

void Contents::check_sector(std::uint64_t sector, const char* data) {
    const std::uint64_t word = word_of(data);
    Sector& known = sectors_[sector];
    if (word == 0) {
        must(known.writer < 0 || known.or_zero, "what was written is read");
        known = {};
        return;
    }
    must(known.writer >= 0 && word == sector_word(static_cast<std::size_t>(known.writer), sector),
         "what was written last is read");
    known.or_zero = false;
}

/// What is told to be zero reads as zeroes.
void Contents::check_status(const Asked& asked, const Answer& answer) const {
    std::uint64_t sector = asked.offset_bytes / 512;
    for (const auto& extent : answer.extents.at(number_of(MetaContext::allocation))) {
        const std::uint64_t end = sector + extent.bytes / 512;
        for (; sector < end; ++sector) {
            const bool zero = sectors_[sector].writer < 0 || sectors_[sector].or_zero;
            must((extent.state & state_zero) == 0 || zero, "only zeroes are told to be zero");
        }
    }
}

}  // namespace fuzz
