#include <doctest/doctest.h>

#include "server/nbd/limits.h"
#include "server/nbd/text.h"
#include "unit/nbd_client.h"

// Ids such as H1 are those of the conformance checklist: handshake, options, closing.
using namespace nbd_test;

TEST_CASE("H1 H2: the greeting has 18 bytes, and nothing follows before the client's flags") {
    // A client decides by these bytes alone whether it talks to the right kind of server.
    const auto bytes = Handshake::greeting();
    const auto greeting = wire_read<Greeting>(bytes);
    CHECK(bytes.size() == 18);
    CHECK(greeting.magic == 0x4e42444d41474943);
    CHECK(greeting.newstyle == 0x49484156454f5054);
    CHECK(greeting.flags == 3);

    const Exports exports = two_exports();
    Handshake handshake(exports);
    Bytes out;
    CHECK(handshake.feed({}, out) == 0);
    CHECK(out.empty());
    CHECK(handshake.state() == Handshake::State::negotiating);
}

TEST_CASE("H3 H4: offered client flags are accepted, any other closes") {
    // Unknown flags change the meaning of what follows, so the document demands a close.
    const Exports exports = two_exports();
    for (const std::uint32_t flags : {0U, 1U, 2U, 3U}) CHECK(Client(exports, flags).negotiating());
    for (unsigned bit = 2; bit < 32; ++bit) {
        const Client client(exports, 1U << bit | 3U);
        CHECK(client.dropped());
        CHECK(client.received.empty());
    }
}

TEST_CASE("H5 H6: EXPORT_NAME is answered with 10 bytes, or 134 for clients that want zeroes") {
    // One byte more or less and every request after it is misread.
    const Exports exports = two_exports();
    for (const std::uint32_t flags : {0U, 1U, 2U, 3U}) {
        CAPTURE(flags);
        Client client(exports, flags);
        const std::string requests = "these bytes are a request";
        const std::string hello = option(Option::export_name, "disk");
        CHECK(client.send(hello + requests) == hello.size());
        REQUIRE(client.in_transmission());
        const bool no_zeroes = (flags & 2) != 0;
        REQUIRE(client.received.size() == (no_zeroes ? 10 : 134));
        const auto head = wire_read<ExportNameReply>(std::as_bytes(std::span(client.received)));
        CHECK(head.size_bytes == 1 << 20);
        CHECK(head.transmission_flags == client.handshake.terms().transmission_flags);
        CHECK(client.received.find_first_not_of('\0', 10) == std::string::npos);
        CHECK(client.handshake.granted_export()->name == "disk");
    }
}

TEST_CASE("H7: a client without fixed newstyle may only send EXPORT_NAME") {
    // It can't parse an option reply, so there is nothing to say to it.
    const Exports exports = two_exports();
    for (const Option code : {Option::list, Option::go, Option::abort}) {
        Client client(exports, 2);
        client.send(option(code));
        CHECK(client.dropped());
        CHECK(client.received.empty());
    }
}

TEST_CASE("H8: a wrong option magic closes, and nothing behind it is read") {
    // The stream is out of step: to guess would be to execute rubbish.
    const Exports exports = two_exports();
    Client client(exports);
    const std::string bad = raw(be64{option_magic + 1}) + u32(3) + u32(0);
    CHECK(client.send(bad + option(Option::list)) == bad.size());
    CHECK(client.dropped());
    CHECK_FALSE(client.handshake.reason().empty());
    CHECK(client.send(option(Option::list)) == 0);
    CHECK(client.received.empty());
}

TEST_CASE("H9 H10 H11: EXPORT_NAME opens a known export or closes without a byte") {
    // This option has no error reply.
    const Exports exports = two_exports();
    Client unknown(exports);
    unknown.send(option(Option::export_name, "no\x1b[31m"));
    CHECK(unknown.dropped());
    CHECK(unknown.received.empty());
    CHECK(unknown.handshake.reason() == "There is no export \"no\\x1b[31m\".");

    Client fallback(exports);
    fallback.send(option(Option::export_name));
    REQUIRE(fallback.in_transmission());
    CHECK(fallback.handshake.granted_export()->name == "disk");

    Client huge(exports);
    const std::string header = option_header(1, 4097);
    CHECK(huge.send(header + std::string(4097, 'a')) == header.size());
    CHECK(huge.dropped());
    CHECK(huge.received.empty());

    Client broken(exports);
    broken.send(option(Option::export_name, std::string("di\0sk", 5)));
    CHECK(broken.dropped());
}

TEST_CASE("EXPORT_NAME on a server without exports closes") {
    // find() of the default export has nothing to return then.
    const Exports none;
    Client client(none);
    client.send(option(Option::export_name));
    CHECK(client.dropped());
    CHECK(client.handshake.reason() == "There is no default export.");
}

TEST_CASE("H12 H13 H14: unknown options are skipped, refused by their code, and cost nothing") {
    // Old servers must survive new clients: that is how the protocol grows.
    const Exports exports = two_exports();
    Client client(exports);
    for (const std::size_t bytes : {0U, 1U, 5000U}) {
        client.send(option(0x7777, std::string(bytes, 'I')));
        const auto replies = client.replies();
        REQUIRE(replies.size() == 1);
        CHECK(replies[0].option == 0x7777);
        CHECK(replies[0].type == OptionReply::error_unsupported);
        CHECK(client.verdict(Option::list) == OptionReply::ack);
    }
    CHECK(client.verdict(Option::peek_export) == OptionReply::error_unsupported);
    CHECK(client.verdict(Option::list) == OptionReply::ack);
}

TEST_CASE("H15 H16: ABORT is acknowledged, with data too, and is no offence") {
    // The polite goodbye must not fill the log.
    const Exports exports = two_exports();
    for (const std::string data : {"", "0123456789"}) {
        Client client(exports);
        const std::string abort = option(Option::abort, data);
        CHECK(client.send(abort + option(Option::list)) == abort.size());
        const auto replies = client.replies();
        REQUIRE(replies.size() == 1);
        CHECK(replies[0].type == OptionReply::ack);
        CHECK(replies[0].data.empty());
        CHECK(client.handshake.state() == Handshake::State::aborted);
        CHECK(client.handshake.reason().empty());
    }
}

TEST_CASE("H17 H19: LIST names every export with its description, then an empty ACK") {
    // Clients check the length of the ACK.
    const Exports exports = two_exports();
    const auto replies = Client(exports).ask(Option::list);
    REQUIRE(replies.size() == 3);
    CHECK(replies[0].type == OptionReply::server);
    CHECK(replies[0].data == text("disk") + "the disk disk");
    CHECK(replies[1].data == text("rom") + "the disk rom");
    CHECK(replies[2].type == OptionReply::ack);
    CHECK(replies[2].option == 3);
    CHECK(replies[2].data.empty());
}

TEST_CASE("H18: options without data refuse data and stay in step") {
    // Abuse case 14.
    const Exports exports = two_exports();
    Client client(exports);
    for (const Option code :
         {Option::list, Option::starttls, Option::structured_reply, Option::extended_headers}) {
        CHECK(client.verdict(code, "x") == OptionReply::error_invalid);
    }
    CHECK(client.handshake.terms().form == Form::simple);
    CHECK(client.verdict(Option::list) == OptionReply::ack);
}

TEST_CASE("X1: STARTTLS is refused and harms nothing") {
    // It is what clients try first, before they fall back. Abuse case 16.
    const Exports exports = two_exports();
    Client client(exports, TlsMode::absent);
    client.send(option(Option::starttls) + option(Option::structured_reply) +
                option(Option::go, info_data("disk")));
    const auto replies = client.replies();
    REQUIRE(replies.size() == 4);
    CHECK(replies[0].type == OptionReply::error_unsupported);
    CHECK(replies[1].type == OptionReply::ack);
    CHECK(replies[3].type == OptionReply::ack);
    CHECK(client.in_transmission());
    CHECK(client.handshake.terms().form == Form::structured);
}

TEST_CASE("H22: an option that announces too much data closes before any of it is read") {
    // Abuse case 7: the length is the client's claim, and must not size anything of ours.
    const Exports exports = two_exports();
    for (const std::uint32_t code : {1U, 3U, 6U, 7U, 10U, 0x7777U}) {
        for (const std::uint32_t bytes : {option_data_bytes_max + 1, 0xffffffffU}) {
            Client client(exports);
            const std::string header = option_header(code, bytes);
            CHECK(client.send(header + std::string(100, 'x')) == header.size());
            CHECK(client.dropped());
        }
    }
    Client client(exports);
    client.send(option(0x7777, std::string(option_data_bytes_max, 'x')));
    CHECK(client.negotiating());
}

TEST_CASE("H23: the number of options is limited, by exports too") {
    // Abuse case 12: a handshake that never ends.
    const Exports exports = two_exports();
    Client client(exports);
    for (std::size_t i = 0; i < 64 + 2 * 16; ++i) {
        REQUIRE(client.verdict(Option::list) == OptionReply::ack);
    }
    CHECK(client.ask(Option::list).empty());
    CHECK(client.dropped());
}

TEST_CASE("feed pauses when much output waits, and goes on when it is written") {
    // A client may send a hundred LISTs in one segment and never read.
    Exports exports;
    for (int i = 0; i < 200; ++i) {
        exports.infos.push_back(std::make_shared<ExportInfo>(
            export_named("disk" + std::to_string(i) + std::string(100, 'x'))));
    }
    Handshake handshake(exports);
    std::string input = u32(3);
    for (int i = 0; i < 50; ++i) input += option(Option::list);
    const auto in = std::as_bytes(std::span(input));
    std::size_t taken = 0;
    std::size_t rounds = 0;
    while (taken < in.size()) {
        Bytes out;
        taken += handshake.feed(in.subspan(taken), out);
        REQUIRE(out.size() < 2 * handshake_output_bytes_max);
        CHECK(handshake.feed(in.subspan(taken), out) == 0);
        ++rounds;
    }
    CHECK(rounds > 10);
    CHECK(handshake.state() == Handshake::State::negotiating);
}

TEST_CASE("shutting down: every option but ABORT gets ERR_SHUTDOWN") {
    // A client that hears it must leave; one that uses EXPORT_NAME can only be cut off.
    const Exports exports = two_exports();
    Client client(exports);
    client.handshake.shut_down();
    CHECK(client.verdict(Option::list) == OptionReply::error_shutdown);
    CHECK(client.verdict(Option::go, info_data("disk")) == OptionReply::error_shutdown);
    CHECK(client.verdict(Option{0x7777}, "data") == OptionReply::error_shutdown);
    CHECK(client.negotiating());
    CHECK(client.verdict(Option::abort) == OptionReply::ack);
    CHECK(client.handshake.state() == Handshake::State::aborted);

    Client old(exports);
    old.handshake.shut_down();
    old.send(option(Option::export_name, "disk"));
    CHECK(old.dropped());
}

TEST_CASE("S1: STRUCTURED_REPLY is granted once") {
    // Clients treat the refusal of a second one as "still on".
    const Exports exports = two_exports();
    Client client(exports);
    CHECK(client.verdict(Option::structured_reply) == OptionReply::ack);
    CHECK(client.verdict(Option::structured_reply) == OptionReply::error_invalid);
    CHECK(client.handshake.terms().form == Form::structured);
    client.ask(Option::go, info_data("disk"));
    CHECK(client.handshake.terms().form == Form::structured);
}

TEST_CASE("H24: error texts are UTF-8, not empty, short, and end in a full stop") {
    // nbd-client writes a NUL over the last byte and can't skip 4096 bytes.
    const Exports exports = two_exports();
    Client client(exports);
    client.send(option(0xffffffff) + option(Option::list, "x") + option(Option::starttls) +
                option(Option::go, "x") + option(Option::go, info_data("\xff")) +
                option(Option::go, info_data("\x1b[31m \"nobody\" %n")) +
                option(Option::go, info_data(std::string(4096, '\x01'))) +
                option(Option::go, info_data(std::string(4097, 'a'))) +
                option(Option::set_meta_context, meta_data("disk", {})));
    client.handshake.shut_down();
    client.send(option(Option::list));
    const auto replies = client.replies();
    REQUIRE(replies.size() == 10);
    for (const Reply& reply : replies) {
        CAPTURE(reply.data);
        CHECK(reply.is_error());
        CHECK(is_protocol_string(reply.data));
        CHECK(reply.data.size() > 1);
        CHECK(reply.data.size() < 512);
        CHECK(reply.data.back() == '.');
        for (const char byte : reply.data) CHECK((byte >= ' ' && byte <= '~'));
    }
}
