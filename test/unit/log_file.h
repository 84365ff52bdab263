#pragma once

#include <string>
#include <vector>

#include "dmcore/targets/log_writes_format.h"
#include "stack.h"

namespace stack {

/// All bytes of a probe's store.
inline std::vector<std::byte> content(Probe& probe) {
    std::vector<std::byte> bytes(probe.limits().size_sectors * sector_bytes);
    Segment piece{bytes.data(), bytes.size()};
    Bio bio;
    bio.iter.bytes = bytes.size();
    bio.segments = &piece;
    probe.store->run(bio);
    return bytes;
}

/// An entry as the log has it; `sector` is where its header is.
struct Logged {
    std::uint64_t sector = 0;
    log_format::Header header;
    std::string text;
    std::vector<std::byte> data;
};

/// What a reader finds that trusts the super; empty without one.
inline std::vector<Logged> logged(const std::vector<std::byte>& log) {
    const log_format::Super super = log_format::get_super(log.data());
    std::vector<Logged> all;
    if (super.magic != log_format::magic) return all;
    std::size_t at = super.block_bytes;
    for (std::uint64_t i = 0; i < super.entries; ++i) {
        Logged one;
        one.sector = at / sector_bytes;
        one.header = log_format::get_header(log.data() + at);
        const auto* text = reinterpret_cast<const char*>(log.data() + at + 32);
        one.text.assign(text, one.header.text_bytes);
        at += super.block_bytes;
        const std::size_t bytes = one.header.data_blocks() * super.block_bytes;
        one.data.assign(log.begin() + static_cast<std::ptrdiff_t>(at),
                        log.begin() + static_cast<std::ptrdiff_t>(at + bytes));
        at += bytes;
        all.push_back(std::move(one));
    }
    return all;
}

/// "W8+8 F D0+16 U1+1 Mname": entries in a line, in blocks.
inline std::string summary(const std::vector<Logged>& entries) {
    std::string text;
    for (const Logged& each : entries) {
        const auto flags = each.header.flags;
        const std::string range =
            std::to_string(each.header.block) + '+' + std::to_string(each.header.blocks);
        if (!text.empty()) text += ' ';
        if ((flags & log_format::mark) != 0) {
            text += 'M' + each.text;
        } else if ((flags & log_format::flush) != 0) {
            text += 'F';
        } else {
            text += ((flags & log_format::discard) != 0 ? "D"
                     : (flags & log_format::fua) != 0   ? "U"
                                                        : "W") +
                    range;
        }
    }
    return text;
}

}  // namespace stack
