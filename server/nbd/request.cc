#include "server/nbd/request.h"

namespace server::nbd {
namespace {

/// A header of either form in host byte order.
struct Header {
    std::uint32_t magic;
    std::uint16_t flags;
    std::uint16_t type;
    std::uint64_t cookie;
    std::uint64_t offset_bytes;
    std::uint64_t length_bytes;
};

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

CommandRule rule_of(Command command) noexcept {
    constexpr std::uint16_t fua = command_flag_fua;
    switch (command) {
        case Command::read: return {true, false, 0, fua | command_flag_df};
        case Command::write: return {true, true, 0, fua};
        case Command::flush: return {true, false, send_flush, fua};
        case Command::trim: return {true, true, send_trim, fua};
        case Command::cache: return {true, false, send_cache, fua};
        case Command::write_zeroes:
            return {true, true, send_write_zeroes,
                    fua | command_flag_no_hole | command_flag_fast_zero};
        case Command::block_status: return {true, false, 0, fua | command_flag_req_one};
        default: return {};
    }
}

Refusal check_command(const Request& request, std::uint16_t flags, const ExportInfo& info,
                      const Terms& terms) noexcept {
    const CommandRule rule = rule_of(request.command);
    if (!rule.known) return {NbdError::invalid, "this command is not supported"};
    if (rule.changes_data && info.read_only) {
        return {NbdError::not_permitted, "the export is read-only"};
    }
    const std::uint16_t offered = terms.transmission_flags;
    if ((rule.needed_offer & ~offered) != 0) {
        return {NbdError::invalid, "this command was not offered"};
    }
    if (request.command == Command::block_status && terms.contexts == 0) {
        return {NbdError::invalid, "no metadata context was chosen for this export"};
    }
    unsigned allowed = rule.command_flags;
    if ((offered & send_fua) == 0) allowed &= ~unsigned{command_flag_fua};
    if ((offered & send_df) == 0) allowed &= ~unsigned{command_flag_df};
    if (terms.form == Form::extended && request.command == Command::write) {
        allowed |= command_flag_payload_length;
    }
    if ((flags & ~allowed) != 0) {
        return {NbdError::invalid, "a flag is unknown, not offered, or does not fit the command"};
    }
    return {};
}

/// The limit is for data on the wire: the other commands may span the whole export.
Refusal check_payload(const Request& request, const ExportInfo& info, const Terms& terms) noexcept {
    if (request.length_bytes <= info.max_payload_bytes) return {};
    constexpr std::string_view message = "the length is above the payload limit";
    if (request.command == Command::write) return {NbdError::invalid, message};
    if (request.command != Command::read) return {};
    return {terms.form == Form::simple ? NbdError::invalid : NbdError::overflow, message};
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
    if (request.command == Command::block_status && length == 0) {
        return {NbdError::invalid, "BLOCK_STATUS needs a length"};
    }
    return {};
}

/// It may fail only as long as nothing has been changed, so it is decided here.
Refusal check_speed(const Request& request, std::uint16_t flags, const ExportInfo& info) noexcept {
    if ((flags & command_flag_fast_zero) == 0) return {};
    if (info.fast_zero && !request.no_hole) return {};
    return {NbdError::not_supported, "zeroes are not known to be quicker than data here"};
}

Refusal check(const Request& request, std::uint16_t flags, const ExportInfo& info,
              const Terms& terms) noexcept {
    Refusal refusal = check_command(request, flags, info, terms);
    if (refusal.error == NbdError::none) refusal = check_payload(request, info, terms);
    if (refusal.error == NbdError::none) refusal = check_range(request, info);
    if (refusal.error == NbdError::none) refusal = check_speed(request, flags, info);
    return refusal;
}

template <class Wire>
Header read_as(std::span<const std::byte> bytes) noexcept {
    const auto wire = wire_read<Wire>(bytes);
    return {wire.magic, wire.flags, wire.type, wire.cookie, wire.offset_bytes, wire.length_bytes};
}

Header read_header(std::span<const std::byte> bytes, Form form) noexcept {
    return form == Form::extended ? read_as<ExtendedRequestHeader>(bytes)
                                  : read_as<RequestHeader>(bytes);
}

std::uint32_t magic_of(Form form) noexcept {
    return form == Form::extended ? extended_request_magic : request_magic;
}

Request decode(const Header& header) noexcept {
    Request request;
    request.command = static_cast<Command>(header.type);
    request.fua = (header.flags & command_flag_fua) != 0 && rule_of(request.command).changes_data;
    request.no_hole = (header.flags & command_flag_no_hole) != 0;
    request.df = (header.flags & command_flag_df) != 0;
    request.req_one = (header.flags & command_flag_req_one) != 0;
    request.cookie = header.cookie;
    request.offset_bytes = header.offset_bytes;
    request.length_bytes = header.length_bytes;
    return request;
}

}  // namespace

bool ends_with_disconnect(std::span<const std::byte> bytes, Form form) noexcept {
    if (bytes.size() < header_bytes(form)) return false;
    const Header header = read_header(bytes.last(header_bytes(form)), form);
    return header.magic == magic_of(form) &&
           header.type == static_cast<std::uint16_t>(Command::disconnect);
}

Decision decide(std::span<const std::byte> bytes, const ExportInfo& info,
                const Terms& terms) noexcept {
    const Header header = read_header(bytes, terms.form);
    if (header.magic != magic_of(terms.form)) {
        return {.verdict = Verdict::drop, .message = "a request has the wrong magic number"};
    }
    Decision decision{.request = decode(header)};
    const Request& request = decision.request;
    const bool announced = (header.flags & command_flag_payload_length) != 0;
    const bool extended = terms.form == Form::extended;
    if (extended && request.command == Command::write && !announced) {
        return {.verdict = Verdict::drop, .message = "a WRITE does not say that data follows"};
    }
    const bool has_payload = extended ? announced : request.command == Command::write;
    if (has_payload && request.length_bytes > payload_discard_bytes_max) {
        return {.verdict = Verdict::drop, .message = "a request announces far too much data"};
    }
    if (request.command == Command::disconnect) {
        decision.verdict = Verdict::disconnect;
        return decision;
    }
    if (has_payload) decision.payload_bytes = static_cast<std::uint32_t>(request.length_bytes);
    const Refusal refusal = check(request, header.flags, info, terms);
    decision.error = refusal.error;
    decision.message = refusal.message;
    const bool nothing_to_do = request.length_bytes == 0 && request.command != Command::flush;
    if (refusal.error != NbdError::none || nothing_to_do) decision.verdict = Verdict::answer;
    return decision;
}

}  // namespace server::nbd
