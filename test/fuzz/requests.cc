#include "fuzz/requests.h"

#include <cstring>

#include "server/nbd/wire.h"

namespace fuzz {
namespace {

using namespace server::nbd;

constexpr std::uint64_t disguise = 0x9e3779b97f4a7c15;  // Odd, so that numbers come back.
constexpr std::uint64_t undisguise = 0xf1de83e19937733d;
static_assert(disguise * undisguise == 1);

void require(bool good, NbdError error, Asked& asked) {
    if (!good) asked.refusals.insert(static_cast<std::uint32_t>(error));
}

/// Flags that may stand with each command, if they are offered.
unsigned flags_of(const Asked& asked, const Terms& terms) {
    unsigned flags = command_flag_fua;
    if (asked.is(Command::read) && terms.form != Form::simple) flags |= command_flag_df;
    if (asked.is(Command::block_status)) flags |= command_flag_req_one;
    if (asked.is(Command::write_zeroes)) flags |= command_flag_no_hole | command_flag_fast_zero;
    if (asked.is(Command::write) && terms.form == Form::extended) {
        flags |= command_flag_payload_length;
    }
    return flags;
}

/// Every reason there is to refuse it: which one is told is the server's choice.
void judge(Asked& asked, const ExportInfo& info, const Terms& terms) {
    const bool write = asked.is(Command::write);
    const bool zeroes = asked.is(Command::write_zeroes);
    const bool changes = write || zeroes || asked.is(Command::trim);
    require(!changes || !info.read_only, NbdError::not_permitted, asked);
    require(!info.read_only || !changes || write, NbdError::invalid, asked);  // Not offered.
    require(asked.command <= 7, NbdError::invalid, asked);
    require((asked.flags & ~flags_of(asked, terms)) == 0, NbdError::invalid, asked);
    const bool carries = write || asked.is(Command::read);
    require(!carries || asked.length_bytes <= info.max_payload_bytes, NbdError::invalid, asked);
    if (asked.is(Command::read) && terms.form != Form::simple) {
        require(asked.length_bytes <= info.max_payload_bytes, NbdError::overflow, asked);
    }
    if (asked.is(Command::flush)) {
        require((asked.offset_bytes | asked.length_bytes) == 0, NbdError::invalid, asked);
        return;
    }
    require(asked.offset_bytes % 512 == 0 && asked.length_bytes % 512 == 0, NbdError::invalid,
            asked);
    const bool fits = asked.offset_bytes <= info.size_bytes &&
                      asked.length_bytes <= info.size_bytes - asked.offset_bytes;
    require(fits, write || zeroes ? NbdError::no_space : NbdError::invalid, asked);
    require(!asked.is(Command::block_status) || (asked.length_bytes > 0 && terms.contexts != 0),
            NbdError::invalid, asked);
    const bool fast = info.fast_zero && !asked.has(command_flag_no_hole);
    require(!asked.has(command_flag_fast_zero) || fast, NbdError::not_supported, asked);
}

/// The payload at `at` becomes data of this request.
void stamp(std::string& stream, std::size_t at, std::size_t number, Asked& asked) {
    asked.zeroes = stream[at] == 0;
    for (std::uint64_t i = 0; i + 8 <= asked.length_bytes; i += 8) {
        const std::uint64_t word =
            asked.zeroes ? 0 : sector_word(number, (asked.offset_bytes + i) / 512);
        std::memcpy(stream.data() + at + i, &word, sizeof word);
    }
}

template <class Header>
class Reader {
  public:
    Reader(Traffic& traffic, const ExportInfo& info, const Terms& terms)
        : stream_(traffic.stream), info_(info), terms_(terms) {}

    Requests read(std::uint32_t magic) {
        while (!requests_.faulty && !requests_.leaves && left() >= sizeof(Header)) {
            auto header = wire_read<Header>(std::as_bytes(std::span(stream_)).subspan(at_));
            if (header.magic != magic || !take(header)) {
                requests_.faulty = true;
            } else if (!complete_) {
                break;
            }
        }
        return std::move(requests_);
    }

  private:
    static constexpr bool extended = sizeof(Header) == sizeof(ExtendedRequestHeader);
    std::size_t left() const { return stream_.size() - at_; }

    /// False: nobody knows what follows.
    bool take(Header& header) {
        Asked asked{.cookie = disguise * (requests_.all.size() + 1),
                    .command = header.type,
                    .flags = header.flags,
                    .offset_bytes = header.offset_bytes,
                    .length_bytes = header.length_bytes};
        header.cookie = asked.cookie;
        std::memcpy(stream_.data() + at_, &header, sizeof header);
        at_ += sizeof header;
        const bool announced = asked.has(command_flag_payload_length);
        if (extended && asked.is(Command::write) && !announced) return false;
        const bool payload = extended ? announced : asked.is(Command::write);
        if (payload && asked.length_bytes > payload_discard_bytes_max) return false;
        requests_.leaves = asked.is(Command::disconnect);
        if (requests_.leaves) return true;
        complete_ = !payload || asked.length_bytes <= left();
        if (!complete_) return true;
        judge(asked, info_, terms_);
        if (payload && asked.length_bytes > 0) {
            stamp(stream_, at_, requests_.all.size(), asked);
            at_ += asked.length_bytes;
        }
        asked.end = at_;
        requests_.all.push_back(std::move(asked));
        return true;
    }

    std::string& stream_;
    const ExportInfo& info_;
    const Terms& terms_;
    std::size_t at_ = 0;
    bool complete_ = true;
    Requests requests_;
};

}  // namespace

Requests read_requests(Traffic& traffic, const ExportInfo& info, const Terms& terms) {
    return terms.form == Form::extended
               ? Reader<ExtendedRequestHeader>(traffic, info, terms).read(extended_request_magic)
               : Reader<RequestHeader>(traffic, info, terms).read(request_magic);
}

const Asked* Requests::find(std::uint64_t cookie) const {
    const std::uint64_t number = cookie * undisguise - 1;
    return number < all.size() ? &all[number] : nullptr;
}

std::uint64_t sector_word(std::size_t number, std::uint64_t sector) {
    return 0xa5ULL << 56 | std::uint64_t{number} << 32 | sector;
}

std::optional<std::size_t> writer_of(std::uint64_t word, std::uint64_t sector) {
    const std::size_t number = word >> 32 & 0xffffff;
    if (word != sector_word(number, sector)) return std::nullopt;
    return number;
}

}  // namespace fuzz
