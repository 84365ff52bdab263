#include <doctest/doctest.h>

#include <random>

#include "server/nbd/limits.h"
#include "server/nbd/request.h"
#include "unit/nbd_client.h"

// Ids such as T1 are those of the conformance checklist: requests and what is wrong with them.
using namespace nbd_test;

namespace {

constexpr std::uint64_t mib = 1 << 20;

/// An export and a connection to it; `ask` decides one request.
struct Connection {
    ExportInfo info = export_named("disk");
    Terms terms = terms_of(Form::structured);

    /// Makes the connection agree on what the export offers now.
    void renegotiate(Form form) { terms = terms_of(form); }
    Terms terms_of(Form form) const {
        return {.form = form, .contexts = 0, .transmission_flags = transmission_flags(info, form)};
    }

    Decision ask(std::uint16_t type, std::uint64_t offset, std::uint32_t length,
                 std::uint16_t flags = 0, std::uint64_t cookie = 7) const {
        RequestHeader header;
        header.magic = request_magic;
        header.flags = flags;
        header.type = type;
        header.cookie = cookie;
        header.offset_bytes = offset;
        header.length_bytes = length;
        return decide(wire_bytes(header), info, terms);
    }
    Decision ask(Command command, std::uint64_t offset, std::uint32_t length,
                 std::uint16_t flags = 0) const {
        return ask(static_cast<std::uint16_t>(command), offset, length, flags);
    }

    /// The error of a request that must be answered at once.
    NbdError error(Command command, std::uint64_t offset, std::uint32_t length,
                   std::uint16_t flags = 0) const {
        const Decision decision = ask(command, offset, length, flags);
        REQUIRE(decision.verdict == Verdict::answer);
        CHECK(decision.message.empty() == (decision.error == NbdError::none));
        CHECK(decision.message.size() <= reply_message_bytes_max);
        CHECK(decision.payload_bytes == (command == Command::write ? length : 0));
        return decision.error;
    }
    bool serves(Command command, std::uint64_t offset, std::uint32_t length,
                std::uint16_t flags = 0) const {
        return ask(command, offset, length, flags).verdict == Verdict::serve;
    }
};

constexpr Command write_like[] = {Command::write, Command::trim, Command::write_zeroes};

}  // namespace

TEST_CASE("T1 T2: a valid request is decoded field by field") {
    // Every field differs, so that no two can be mixed up.
    Connection connection;
    for (const std::uint64_t cookie : {0x1122334455667788ULL, 0ULL, ~0ULL}) {
        const Decision decision = connection.ask(1, 0x10000, 0x2000, command_flag_fua, cookie);
        CHECK(decision.verdict == Verdict::serve);
        CHECK(decision.error == NbdError::none);
        CHECK(decision.payload_bytes == 0x2000);
        CHECK(decision.request.command == Command::write);
        CHECK(decision.request.cookie == cookie);
        CHECK(decision.request.offset_bytes == 0x10000);
        CHECK(decision.request.length_bytes == 0x2000);
        CHECK(decision.request.fua);
        CHECK_FALSE(decision.request.no_hole);
        CHECK_FALSE(decision.request.df);
    }
    CHECK(connection.ask(Command::read, 0, 512, command_flag_df).request.df);
    CHECK(connection.ask(Command::write_zeroes, 0, 512, command_flag_no_hole).request.no_hole);
    CHECK(connection.ask(Command::read, 0, 512).payload_bytes == 0);
}

TEST_CASE("T1 abuse 28: offset and length must be multiples of the minimum block") {
    // The unit of device-mapper is the sector; nothing smaller may change.
    Connection connection;
    for (const Command command : {Command::read, Command::write, Command::trim}) {
        CHECK(connection.error(command, 1, 512) == NbdError::invalid);
        CHECK(connection.error(command, 0, 513) == NbdError::invalid);
        CHECK(connection.error(command, 256, 256) == NbdError::invalid);
    }
    CHECK(connection.serves(Command::write, 512, 4608));
    connection.info.min_block_bytes = 4096;
    CHECK(connection.error(Command::write, 512, 4096) == NbdError::invalid);
    connection.info.min_block_bytes = 1;
    CHECK(connection.serves(Command::write, 3, 5));
}

TEST_CASE("T5 abuse 20: commands that are unknown or not offered are EINVAL") {
    // The connection lives on.
    Connection connection;
    for (const int code : {8, 9, 42, 0xffff}) {
        const Decision decision = connection.ask(static_cast<std::uint16_t>(code), 0, 512);
        CHECK(decision.verdict == Verdict::answer);
        CHECK(decision.error == NbdError::invalid);
        CHECK(decision.payload_bytes == 0);
        CHECK(decision.request.cookie == 7);
    }
    connection.terms.transmission_flags &= static_cast<std::uint16_t>(~send_cache);
    CHECK(connection.error(Command::cache, 0, 512) == NbdError::invalid);
}

TEST_CASE("M7 M15 abuse 31: BLOCK_STATUS needs a context, a length and a place inside") {
    // A context may have been chosen for another export.
    Connection connection;
    CHECK(connection.error(Command::block_status, 0, 512) == NbdError::invalid);
    connection.terms.contexts = bit_of(MetaContext::allocation);
    CHECK(connection.serves(Command::block_status, 0, mib));
    CHECK(connection.serves(Command::block_status, 0, 512, command_flag_req_one));
    CHECK(connection.error(Command::block_status, 0, 0) == NbdError::invalid);
    CHECK(connection.error(Command::block_status, mib, 512) == NbdError::invalid);
    CHECK(connection.error(Command::block_status, 0, 0xffffffff) == NbdError::invalid);
    CHECK(connection.error(Command::read, 0, 512, command_flag_req_one) == NbdError::invalid);
}

TEST_CASE("T7: CACHE is a hint for a range inside the export") {
    Connection connection;
    CHECK(connection.serves(Command::cache, 0, mib));
    CHECK(connection.error(Command::cache, mib, 512) == NbdError::invalid);
    CHECK(connection.error(Command::cache, 0, 512, 1 << 15) == NbdError::invalid);
}

TEST_CASE("T17: FAST_ZERO is ENOTSUP where zeroes may take as long as data") {
    // And never without the flag. With NO_HOLE nobody knows.
    Connection connection;
    const std::uint16_t fast = command_flag_fast_zero;
    CHECK(connection.error(Command::write_zeroes, 0, 512, fast) == NbdError::not_supported);
    CHECK(connection.serves(Command::write_zeroes, 0, 512));
    connection.info.fast_zero = true;
    CHECK(connection.serves(Command::write_zeroes, 0, 512, fast));
    CHECK(connection.error(Command::write_zeroes, 0, 512, fast | command_flag_no_hole) ==
          NbdError::not_supported);
    CHECK(connection.error(Command::write_zeroes, mib, 512, fast) == NbdError::no_space);
    connection.info.read_only = true;
    connection.renegotiate(Form::structured);
    CHECK(connection.error(Command::write_zeroes, 0, 512, fast) == NbdError::not_permitted);
}

namespace {

Decision ask_extended(const Connection& connection, Command command, std::uint64_t length,
                      unsigned flags, std::uint32_t magic = extended_request_magic) {
    ExtendedRequestHeader header;
    header.magic = magic;
    header.flags = static_cast<std::uint16_t>(flags);
    header.type = static_cast<std::uint16_t>(command);
    header.cookie = std::uint64_t{7};
    header.length_bytes = length;
    return decide(wire_bytes(header), connection.info, connection.terms);
}

}  // namespace

TEST_CASE("S13 S14: extended headers: 64-bit lengths, and payload only where it is announced") {
    // A WRITE that announces none leaves open what comes next.
    Connection connection;
    connection.info.size_bytes = 8192 * mib;
    connection.renegotiate(Form::extended);
    constexpr unsigned payload = command_flag_payload_length;
    const std::uint64_t five_gib = 5 * 1024 * mib;
    for (const Command command : {Command::trim, Command::write_zeroes, Command::cache}) {
        const Decision decision = ask_extended(connection, command, five_gib, 0);
        CHECK(decision.verdict == Verdict::serve);
        CHECK(decision.request.length_bytes == five_gib);
        CHECK(decision.payload_bytes == 0);
    }
    const Decision write = ask_extended(connection, Command::write, 4096, payload);
    CHECK(write.verdict == Verdict::serve);
    CHECK(write.payload_bytes == 4096);
    CHECK(ask_extended(connection, Command::write, 4096, 0).verdict == Verdict::drop);
    const Decision read = ask_extended(connection, Command::read, 4096, payload);
    CHECK(read.verdict == Verdict::answer);
    CHECK(read.error == NbdError::invalid);
    CHECK(read.payload_bytes == 4096);
    CHECK(ask_extended(connection, Command::read, five_gib, payload).verdict == Verdict::drop);
    CHECK(ask_extended(connection, Command::read, five_gib, 0).error == NbdError::overflow);
    CHECK(ask_extended(connection, Command::write, ~0ULL, payload).verdict == Verdict::drop);
    CHECK(ask_extended(connection, Command::trim, ~0ULL << 9, 0).error == NbdError::invalid);
    CHECK(ask_extended(connection, Command::read, 512, 0, request_magic).verdict == Verdict::drop);
    CHECK(ask_extended(connection, Command::disconnect, ~0ULL, 0).verdict == Verdict::disconnect);
}

TEST_CASE("T6 S8: flags that are unknown, misplaced or not offered are EINVAL") {
    // A flag that is ignored in silence is a promise broken in silence.
    Connection connection;
    for (const Command command : {Command::read, Command::write, Command::trim}) {
        CHECK(connection.error(command, 0, 512, 1 << 15) == NbdError::invalid);
        CHECK(connection.error(command, 0, 512, command_flag_no_hole) == NbdError::invalid);
        CHECK(connection.error(command, 0, 512, 1 << 5) == NbdError::invalid);
    }
    CHECK(connection.error(Command::write, 0, 512, command_flag_df) == NbdError::invalid);
    CHECK(connection.error(Command::write, 0, 512, 1 << 4) == NbdError::invalid);
    CHECK(connection.serves(Command::read, 0, 512, command_flag_df));
    connection.renegotiate(Form::simple);
    CHECK(connection.error(Command::read, 0, 512, command_flag_df) == NbdError::invalid);
}

TEST_CASE("T7 T8 abuse 21: past the end is ENOSPC for what stores data, else EINVAL") {
    // Sums that wrap around have let clients reach other people's bytes.
    Connection connection;
    const std::uint64_t size = connection.info.size_bytes;
    const std::uint64_t top = 1ULL << 63;
    struct Range {
        std::uint64_t offset;
        std::uint32_t length;
    };
    for (const Range range :
         {Range{size, 512}, Range{size - 512, 1024}, Range{top, 512}, Range{~0ULL - 511, 512},
          Range{~0ULL - 511, 1024}, Range{top, 16 << 20}, Range{0, 2 << 20}}) {
        CAPTURE(range.offset);
        CHECK(connection.error(Command::write, range.offset, range.length) == NbdError::no_space);
        CHECK(connection.error(Command::write_zeroes, range.offset, range.length) ==
              NbdError::no_space);
        CHECK(connection.error(Command::read, range.offset, range.length) == NbdError::invalid);
        CHECK(connection.error(Command::trim, range.offset, range.length) == NbdError::invalid);
    }
    CHECK(connection.serves(Command::write, size - 512, 512));
    CHECK(connection.serves(Command::write, 0, 1 << 20));
    CHECK(connection.error(Command::read, ~0ULL, 1) == NbdError::invalid);
    CHECK(connection.error(Command::trim, top, 0xffffffff) == NbdError::invalid);
}

TEST_CASE("T9 abuse 29: what would change a read-only export is EPERM") {
    // TRIM and WRITE_ZEROES too, though they are not even offered there.
    Connection connection;
    connection.info.read_only = true;
    connection.renegotiate(Form::structured);
    for (const Command command : write_like) {
        CHECK(connection.error(command, 0, 512) == NbdError::not_permitted);
        CHECK(connection.error(command, 0, 512, command_flag_fua) == NbdError::not_permitted);
    }
    CHECK(connection.serves(Command::read, 0, 512));
    CHECK(connection.serves(Command::flush, 0, 0));
}

TEST_CASE("T10 S7: a READ above the payload limit is refused in the form's own way") {
    // EOVERFLOW is reserved for structured replies.
    Connection connection;
    connection.info.size_bytes = 1024 * mib;
    CHECK(connection.serves(Command::read, 0, payload_bytes_max));
    CHECK(connection.error(Command::read, 0, payload_bytes_max + 512) == NbdError::overflow);
    CHECK(connection.error(Command::read, 0, payload_bytes_max + 512, command_flag_df) ==
          NbdError::overflow);
    connection.renegotiate(Form::simple);
    CHECK(connection.error(Command::read, 0, payload_bytes_max + 512) == NbdError::invalid);
    CHECK(connection.error(Command::read, 0, 0xfffffe00) == NbdError::invalid);
}

TEST_CASE("T11 T12 abuse 22: a WRITE above the limit is consumed or, far above, dropped") {
    // Up to 32 MiB is never denial of service, whatever we advertised.
    Connection connection;
    connection.info.size_bytes = 8192 * mib;
    connection.info.max_payload_bytes = mib;
    CHECK(connection.serves(Command::write, 0, mib));
    CHECK(connection.error(Command::write, 0, mib + 512) == NbdError::invalid);
    CHECK(connection.error(Command::write, 0, 32 * mib) == NbdError::invalid);
    CHECK(connection.error(Command::write, 0, 64 * mib) == NbdError::invalid);
    for (const std::uint64_t length : {64 * mib + 1, 4096 * mib - 1}) {
        const Decision decision =
            connection.ask(Command::write, 0, static_cast<std::uint32_t>(length));
        CHECK(decision.verdict == Verdict::drop);
        CHECK_FALSE(decision.message.empty());
    }
}

TEST_CASE("T13 S16: a wrong magic drops the connection") {
    // Also the magic of the extended form, and the reserved ones.
    const Connection connection;
    for (const std::uint32_t magic : {0U, 0x25609514U, 0x21e41c71U, 0x12560953U, 0x13956025U}) {
        RequestHeader header;
        header.magic = magic;
        const Decision decision = decide(wire_bytes(header), connection.info, connection.terms);
        CHECK(decision.verdict == Verdict::drop);
        CHECK(decision.payload_bytes == 0);
    }
}

TEST_CASE("T14 abuse 30: FLUSH takes no range, and needs an offer as TRIM and ZEROES do") {
    // A range on FLUSH is reserved for a meaning of its own.
    Connection connection;
    CHECK(connection.serves(Command::flush, 0, 0));
    CHECK(connection.error(Command::flush, 512, 0) == NbdError::invalid);
    CHECK(connection.error(Command::flush, 0, 512) == NbdError::invalid);
    connection.info.can_flush = connection.info.can_trim = connection.info.can_zero = false;
    connection.renegotiate(Form::structured);
    CHECK(connection.error(Command::flush, 0, 0) == NbdError::invalid);
    CHECK(connection.error(Command::trim, 0, 512) == NbdError::invalid);
    CHECK(connection.error(Command::write_zeroes, 0, 512) == NbdError::invalid);
}

TEST_CASE("T15 abuse 30: FUA is accepted on every command if offered, and then only") {
    // Existing clients set it on READ and FLUSH, where it means nothing.
    Connection connection;
    for (const Command command :
         {Command::read, Command::write, Command::trim, Command::write_zeroes, Command::flush}) {
        const std::uint32_t length = command == Command::flush ? 0 : 512;
        const Decision decision = connection.ask(command, 0, length, command_flag_fua);
        CHECK(decision.verdict == Verdict::serve);
        const bool changes_data = command != Command::read && command != Command::flush;
        CHECK(decision.request.fua == changes_data);
    }
    connection.info.can_fua = false;
    connection.renegotiate(Form::structured);
    CHECK(connection.error(Command::write, 0, 512, command_flag_fua) == NbdError::invalid);
    CHECK(connection.error(Command::read, 0, 512, command_flag_fua) == NbdError::invalid);
}

TEST_CASE("T18: TRIM and WRITE_ZEROES have no payload, so its limit is not theirs") {
    // mkfs discards in steps of almost 4 GiB.
    Connection connection;
    connection.info.size_bytes = 8192 * mib;
    CHECK(connection.serves(Command::trim, 0, 0xfffffe00));
    CHECK(connection.serves(Command::write_zeroes, 0, 0xfffffe00));
}

TEST_CASE("T19 abuse 27: length 0 succeeds at once, without effect ([D-18])") {
    // Not specified, but it must not cost the connection.
    Connection connection;
    for (const Command command :
         {Command::read, Command::write, Command::trim, Command::write_zeroes}) {
        CHECK(connection.error(command, 0, 0) == NbdError::none);
        CHECK(connection.error(command, connection.info.size_bytes, 0) == NbdError::none);
    }
    CHECK(connection.error(Command::read, connection.info.size_bytes + 512, 0) ==
          NbdError::invalid);
}

TEST_CASE("E4: DISC is obeyed whatever else its header says") {
    // A server that refuses it would hang the client that waits for the close.
    Connection connection;
    CHECK(connection.ask(Command::disconnect, 0, 0).verdict == Verdict::disconnect);
    const Decision junk = connection.ask(Command::disconnect, 12345, 0xffffffff, 0xffff);
    CHECK(junk.verdict == Verdict::disconnect);
    CHECK(junk.payload_bytes == 0);
}

TEST_CASE("the size that counts is the current one") {
    // An export grows under its clients, and no message tells them.
    Connection connection;
    CHECK(connection.error(Command::write, mib, 512) == NbdError::no_space);
    connection.info.size_bytes = 2 * mib;
    CHECK(connection.serves(Command::write, mib, 512));
}

TEST_CASE("random headers: what is served lies inside the export and within the limits") {
    // The session asserts what is checked here, so nothing may slip through.
    Connection connection;
    connection.info.size_bytes = 64 * mib;
    std::mt19937_64 random(42);
    const auto pick = [&](std::uint64_t near) {
        return random() % 3 == 0 ? random() : (random() % (near / 512 + 2)) * 512;
    };
    std::size_t served = 0;
    for (int round = 0; round < 100'000; ++round) {
        connection.info.read_only = random() % 8 == 0;
        connection.renegotiate(random() % 2 == 0 ? Form::structured : Form::simple);
        const std::uint64_t offset = pick(connection.info.size_bytes);
        const auto length = static_cast<std::uint32_t>(pick(payload_bytes_max));
        const auto type = static_cast<std::uint16_t>(random() % 10);
        const auto flags = static_cast<std::uint16_t>(random() % 2 == 0 ? 0 : 1U << random() % 16);
        const Decision decision = connection.ask(type, offset, length, flags);
        REQUIRE(decision.payload_bytes <= payload_discard_bytes_max);
        if (decision.verdict != Verdict::serve) continue;
        ++served;
        REQUIRE(offset % 512 == 0);
        REQUIRE(length % 512 == 0);
        REQUIRE(offset <= connection.info.size_bytes);
        REQUIRE(length <= connection.info.size_bytes - offset);
        if (type <= 1) REQUIRE(length <= payload_bytes_max);
        if (type != 3) REQUIRE(length > 0);
        if (connection.info.read_only) REQUIRE((type == 0 || type == 3 || type == 5));
    }
    CHECK(served > 5000);
}
