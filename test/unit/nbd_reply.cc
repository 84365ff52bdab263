#include <doctest/doctest.h>

#include "server/nbd/error.h"
#include "server/nbd/limits.h"
#include "server/nbd/reply.h"
#include "server/nbd/text.h"
#include "unit/nbd_client.h"

// The bytes of replies, the numbers of errors, and the integers and strings below them.
using namespace nbd_test;

namespace {

constexpr std::uint64_t cookie = 0x0102030405060708;

std::string bytes_of(const ReplyHead& head) {
    return {reinterpret_cast<const char*>(head.bytes().data()), head.bytes().size()};
}

std::string chunk(std::uint16_t type, const std::string& payload, std::size_t data_bytes = 0) {
    return u32(0x668e33ef) + u16(1) + u16(type) + raw(be64{cookie}) +
           u32(static_cast<std::uint32_t>(payload.size() + data_bytes)) + payload;
}

}  // namespace

TEST_CASE("integers lie on the wire with the highest byte first") {
    // Everything else rests on this.
    CHECK(u16(0x0102) == "\x01\x02");
    CHECK(u32(0x01020304) == "\x01\x02\x03\x04");
    CHECK(raw(be64{cookie}) == "\x01\x02\x03\x04\x05\x06\x07\x08");
    CHECK(be64{~0ULL} == ~0ULL);
    CHECK(be16{0xfffe} == 0xfffe);
    CHECK(wire_read<be32>(wire_bytes(be32{0xdeadbeef})) == 0xdeadbeef);
}

TEST_CASE("T24: without structured replies, every reply has the simple form of 16 bytes") {
    // The Linux client kills the connection when it meets one chunk.
    const std::string head = u32(0x67446698);
    const std::string tail = raw(be64{cookie});
    CHECK(bytes_of(data_reply({Form::simple, cookie, 4096}, 4096, 512, Last::yes)) ==
          head + u32(0) + tail);
    CHECK(bytes_of(done_reply({Form::simple, cookie})) == head + u32(0) + tail);
    CHECK(bytes_of(error_reply({Form::simple, cookie}, NbdError::io, "why")) ==
          head + u32(5) + tail);
}

TEST_CASE("S2 S4: a structured READ is one chunk of data, marked as the last") {
    // Offset, length and the data behind it must tile the request.
    CHECK(bytes_of(data_reply({Form::structured, cookie, 0x123456789a00}, 0x123456789a00, 512,
                              Last::yes)) == chunk(1, raw(be64{0x123456789a00}), 512));
    CHECK(bytes_of(data_reply({Form::structured, cookie, 0}, 0, payload_bytes_max, Last::yes))
              .size() == 28);
}

TEST_CASE("T19: success without data is an empty chunk") {
    // A READ of length 0 can't be a content chunk: those hold at least one byte.
    CHECK(bytes_of(done_reply({Form::structured, cookie})) == chunk(0, ""));
}

TEST_CASE("S3 S9: a structured error names its reason") {
    // Clients drop the connection if the message length does not fit the chunk.
    CHECK(bytes_of(error_reply({Form::structured, cookie}, NbdError::invalid, "why")) ==
          chunk(0x8001, u32(22) + u16(3) + "why"));
    CHECK(bytes_of(error_reply({Form::structured, cookie}, NbdError::no_space, "")) ==
          chunk(0x8001, u32(28) + u16(0)));
    const std::string longest(reply_message_bytes_max, 'x');
    CHECK(bytes_of(error_reply({Form::structured, cookie}, NbdError::io, longest + "beyond")) ==
          chunk(0x8001, u32(5) + u16(reply_message_bytes_max) + longest));
}

TEST_CASE("only error numbers of the protocol reach the wire, each in its meaning") {
    // Clients must disconnect on ESHUTDOWN; ENOTSUP and EOVERFLOW mean other things there.
    using dmcore::Status;
    CHECK(error_from(Status::ok) == NbdError::none);
    CHECK(error_from(Status::no_space) == NbdError::no_space);
    CHECK(error_from(Status::invalid) == NbdError::invalid);
    CHECK(error_from(Status::not_supported) == NbdError::invalid);
    CHECK(error_from(Status::not_permitted) == NbdError::not_permitted);
    CHECK(error_from(Status::read_only) == NbdError::not_permitted);
    CHECK(error_from(Status::shutdown) == NbdError::shutdown);
    for (const Status status : {Status::io_error, Status::again, Status::no_memory,
                                Status::timed_out, Status::no_data, Status::disconnected}) {
        CHECK(error_from(status) == NbdError::io);
    }
}

TEST_CASE("strings are UTF-8 without NUL") {
    // The borders of each sequence length, over-long forms, surrogates, and cut sequences.
    for (const char* good :
         {"", "abc", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
          "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xe2\x82\xac"}) {
        CAPTURE(good);
        CHECK(is_protocol_string(good));
    }
    for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                            "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                            "\xc2", "\xe2\x82", "\xf0\x90\x80",
                            "\xc2"
                            "a",
                            "\xe2\x82"
                            "a"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_protocol_string(bad));
    }
    CHECK_FALSE(is_protocol_string(std::string_view("a\0b", 3)));
}

TEST_CASE("quoted text is short and printable") {
    // It goes to terminals and logs.
    CHECK(in_quotes("disk 1") == "\"disk 1\"");
    CHECK(in_quotes("a\x1b[\"\\\xff\n") == "\"a\\x1b[\\x22\\x5c\\xff\\x0a\"");
    CHECK(in_quotes(std::string(80, 'a')) == '"' + std::string(80, 'a') + '"');
    CHECK(in_quotes(std::string(81, 'a')) == '"' + std::string(80, 'a') + "...\"");
}
