#include "server/nbd/request.h"

namespace server::nbd {
namespace {

/// Why a request is refused; `none` if it is not.
struct Refusal {
    NbdError error = NbdError::none;
    std::string_view message = {};
};

struct CommandRule {
    bool known = false;
    bool changes_data = false;
    std::uint16_t needed_offer = 0;   // A transmission flag.
    std::uint16_t command_flags = 0;  // That may stand with it.
};

/// CACHE, BLOCK_STATUS and the rest are never offered, so to us they are as unknown as 42.
CommandRule rule_of(Command command) noexcept {
    constexpr std::uint16_t fua = command_flag_fua;
    switch (command) {
        case Command::read: return {true, false, 0, fua | command_flag_df};
        case Command::write: return {true, true, 0, fua};
        case Command::flush: return {true, false, send_flush, fua};
        case Command::trim: return {true, true, send_trim, fua};
        case Command::write_zeroes:
            return {true, true, send_write_zeroes, fua | command_flag_no_hole};
        default: return {};
    }
}

Refusal check_command(const CommandRule& rule, std::uint16_t flags, const ExportInfo& info,
                      const Terms& terms) noexcept {
    if (!rule.known) return {NbdError::invalid, "this command is not supported"};
    if (rule.changes_data && info.read_only) {
        return {NbdError::not_permitted, "the export is read-only"};
    }
    const std::uint16_t offered = terms.transmission_flags;
    if ((rule.needed_offer & ~offered) != 0) {
        return {NbdError::invalid, "this command was not offered"};
    }
    unsigned allowed = rule.command_flags;
    if ((offered & send_fua) == 0) allowed &= ~unsigned{command_flag_fua};
    if ((offered & send_df) == 0) allowed &= ~unsigned{command_flag_df};
    if ((flags & ~allowed) != 0) {
        return {NbdError::invalid, "a flag is unknown, not offered, or does not fit the command"};
    }
    return {};
}

/// The limit is for data on the wire: TRIM and WRITE_ZEROES may span the whole export.
Refusal check_payload(const Request& request, const ExportInfo& info, const Terms& terms) noexcept {
    if (request.length_bytes <= info.max_payload_bytes) return {};
    constexpr std::string_view message = "the length is above the payload limit";
    if (request.command == Command::write) return {NbdError::invalid, message};
    if (request.command != Command::read) return {};
    return {terms.structured_replies ? NbdError::overflow : NbdError::invalid, message};
}

Refusal check_range(const Request& request, const ExportInfo& info) noexcept {
    const std::uint64_t offset = request.offset_bytes;
    const std::uint64_t length = request.length_bytes;
    if (request.command == Command::flush) {
        if ((offset | length) == 0) return {};
        return {NbdError::invalid, "FLUSH takes neither offset nor length"};
    }
    if (((offset | length) & (info.min_block_bytes - 1)) != 0) {
        return {NbdError::invalid, "offset or length is not a multiple of the minimum block size"};
    }
    if (offset > info.size_bytes || length > info.size_bytes - offset) {
        const bool stores =
            request.command == Command::write || request.command == Command::write_zeroes;
        return {stores ? NbdError::no_space : NbdError::invalid,
                "the request runs past the end of the export"};
    }
    return {};
}

Refusal check(const Request& request, std::uint16_t flags, const ExportInfo& info,
              const Terms& terms) noexcept {
    Refusal refusal = check_command(rule_of(request.command), flags, info, terms);
    if (refusal.error == NbdError::none) refusal = check_payload(request, info, terms);
    if (refusal.error == NbdError::none) refusal = check_range(request, info);
    return refusal;
}

Request decode(const RequestHeader& header) noexcept {
    Request request;
    request.command = static_cast<Command>(std::uint16_t{header.type});
    request.fua = (header.flags & command_flag_fua) != 0 && rule_of(request.command).changes_data;
    request.no_hole = (header.flags & command_flag_no_hole) != 0;
    request.df = (header.flags & command_flag_df) != 0;
    request.cookie = header.cookie;
    request.offset_bytes = header.offset_bytes;
    request.length_bytes = header.length_bytes;
    return request;
}

}  // namespace

Decision decide(std::span<const std::byte, sizeof(RequestHeader)> bytes, const ExportInfo& info,
                const Terms& terms) noexcept {
    const auto header = wire_read<RequestHeader>(bytes);
    if (header.magic != request_magic) {
        return {.verdict = Verdict::drop, .message = "a request has the wrong magic number"};
    }
    Decision decision{.request = decode(header)};
    const Request& request = decision.request;
    if (request.command == Command::write) decision.payload_bytes = request.length_bytes;
    if (decision.payload_bytes > payload_discard_bytes_max) {
        return {.verdict = Verdict::drop, .message = "a WRITE announces far too much data"};
    }
    if (request.command == Command::disconnect) {
        decision.verdict = Verdict::disconnect;
        return decision;
    }
    const Refusal refusal = check(request, header.flags, info, terms);
    decision.error = refusal.error;
    decision.message = refusal.message;
    const bool nothing_to_do = request.length_bytes == 0 && request.command != Command::flush;
    if (refusal.error != NbdError::none || nothing_to_do) decision.verdict = Verdict::answer;
    return decision;
}

}  // namespace server::nbd
