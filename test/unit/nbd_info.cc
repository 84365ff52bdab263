#include <doctest/doctest.h>

#include "unit/nbd_client.h"

// Ids such as I1 are those of the conformance checklist: INFO, GO and the metadata options.
using namespace nbd_test;

namespace {

/// The replies of one type of information.
std::vector<Reply> infos_of(const std::vector<Reply>& replies, InfoType type) {
    std::vector<Reply> result;
    for (const Reply& reply : replies) {
        const bool matches = reply.type == OptionReply::info &&
                             reply.data.starts_with(u16(static_cast<std::uint16_t>(type)));
        if (matches) result.push_back(reply);
    }
    return result;
}

InfoExport size_info(const std::vector<Reply>& replies) {
    const auto found = infos_of(replies, InfoType::export_size);
    REQUIRE(found.size() == 1);
    REQUIRE(found[0].data.size() == 12);
    return wire_read<InfoExport>(std::as_bytes(std::span(found[0].data)));
}

}  // namespace

TEST_CASE("I1 I12: GO without a list gives the size, then ACK, then no padding") {
    // What nbd-client sends. The next byte belongs to transmission.
    const Exports exports = two_exports();
    for (const std::uint32_t flags : {1U, 3U}) {
        Client client(exports, flags);
        const auto replies = client.ask(Option::go, info_data("disk"));
        REQUIRE(replies.size() == 2);
        CHECK(size_info(replies).size_bytes == 1 << 20);
        CHECK(replies[1].type == OptionReply::ack);
        CHECK(replies[1].option == 7);
        CHECK(replies[1].data.empty());
        CHECK(client.in_transmission());
        CHECK(client.send("requests") == 0);
    }
}

TEST_CASE("I2 I11: all information asked for comes once, ACK last") {
    // Abuse case 13: repeated types are tolerated.
    const Exports exports = two_exports();
    const auto replies = Client(exports).ask(Option::go, info_data("", {1, 2, 3, 3, 2, 1, 0, 0}));
    REQUIRE(replies.size() == 5);
    CHECK(replies.back().type == OptionReply::ack);
    CHECK(infos_of(replies, InfoType::name).at(0).data == u16(1) + "disk");
    CHECK(infos_of(replies, InfoType::description).at(0).data == u16(2) + "the disk disk");
    const auto block_sizes = infos_of(replies, InfoType::block_size);
    REQUIRE(block_sizes.size() == 1);
    CHECK(block_sizes[0].data == u16(3) + u32(512) + u32(4096) + u32(32 << 20));
    size_info(replies);
}

TEST_CASE("what is behind an export is told to those who ask for it, and nobody else") {
    struct Known : Exports {
        std::optional<Identity> identify(std::string_view name) const override {
            if (name == "rom") return std::nullopt;
            return Identity{.server = 0x0102030405060708, .answer_ms = 9, .text = "disk@file:1"};
        }
    };
    Known exports;
    exports.infos = two_exports().infos;
    const auto of = [&](const std::string& name, std::vector<std::uint16_t> types) {
        return infos_of(Client(exports).ask(Option::info, info_data(name, types)),
                        InfoType::identity);
    };
    const auto told = of("disk", {0x444d});
    REQUIRE(told.size() == 1);
    CHECK(told[0].data == std::string("DM\1\2\3\4\5\6\7\10\0\0\0\11", 14) + "disk@file:1");
    CHECK(of("disk", {1, 2, 3}).empty());
    CHECK(of("rom", {0x444d}).empty());
}

TEST_CASE("I3: unknown types of information are ignored") {
    // So are 30,000 of them in one option.
    const Exports exports = two_exports();
    Client client(exports);
    CHECK(client.ask(Option::info, info_data("disk", {999})).size() == 2);
    CHECK(client.ask(Option::info, info_data("disk", std::vector<std::uint16_t>(30'000, 999)))
              .size() == 2);
}

TEST_CASE("I4: INFO, then GO with the same arguments, tell the same") {
    // Only GO enters transmission.
    const Exports exports = two_exports();
    Client client(exports);
    client.ask(Option::structured_reply);
    const auto info = client.ask(Option::info, info_data("rom", {3}));
    CHECK(client.negotiating());
    const auto go = client.ask(Option::go, info_data("rom", {3}));
    REQUIRE(info.size() == go.size());
    for (std::size_t i = 0; i < go.size(); ++i) CHECK(info[i].data == go[i].data);
    CHECK(client.handshake.terms().transmission_flags == size_info(go).transmission_flags);
    CHECK(client.handshake.granted_export()->name == "rom");
}

TEST_CASE("I5 I10: an unknown export is ERR_UNKNOWN without information, and the text is cut") {
    // Servers have crashed when they echoed a name of 4096 bytes.
    const Exports exports = two_exports();
    Client client(exports);
    for (const std::string& name : {std::string("nobody"), std::string(4096, 'a')}) {
        for (const Option code : {Option::info, Option::go}) {
            const auto replies = client.ask(code, info_data(name));
            REQUIRE(replies.size() == 1);
            CHECK(replies[0].type == OptionReply::error_unknown);
            CHECK(replies[0].data.size() < 200);
        }
    }
    CHECK(client.verdict(Option::go, info_data("disk")) == OptionReply::ack);
}

TEST_CASE("I6 I7 I8: lengths that do not fit are ERR_INVALID, and the stream stays in step") {
    // Abuse case 8. Sums of client numbers are where servers overflowed.
    const Exports exports = two_exports();
    const std::string good = info_data("disk", {3});
    const std::vector<std::string> bad = {
        "",
        "1",
        "12",
        "123",
        "1234",
        "12345",
        u32(5) + "disk",
        u32(0xffffffff) + "disk" + u16(0),
        u32(0xfffffffe) + "disk" + u16(0),
        text("disk") + u16(2) + u16(3),
        text("disk") + u16(0) + u16(3),
        text("disk") + u16(0xffff),
        good.substr(0, good.size() - 1),
        good + "x",
    };
    for (const std::string& data : bad) {
        CAPTURE(data);
        Client client(exports);
        CHECK(client.verdict(Option::info, data) == OptionReply::error_invalid);
        CHECK(client.verdict(Option::go, data) == OptionReply::error_invalid);
        CHECK(client.verdict(Option::go, good) == OptionReply::ack);
    }
}

TEST_CASE("I9: names with NUL or bad UTF-8 are ERR_INVALID, over-long ones ERR_TOO_BIG") {
    // Abuse cases 9 and 10.
    const Exports exports = two_exports();
    Client client(exports);
    for (const std::string& name : {std::string("di\0sk", 5), std::string("\xff"),
                                    std::string("\xc0\xaf"), std::string("\xed\xa0\x80")}) {
        CHECK(client.verdict(Option::info, info_data(name)) == OptionReply::error_invalid);
    }
    const std::string over_long(4097, 'a');
    CHECK(client.verdict(Option::info, info_data(over_long)) == OptionReply::error_too_big);
    CHECK(client.verdict(Option::info, info_data("../%n")) == OptionReply::error_unknown);
    CHECK(client.negotiating());
}

TEST_CASE("I9: a name of 4096 bytes and of any language opens an export") {
    // The error text is shortened, not the check.
    Exports exports;
    for (const std::string& name :
         {std::string(4096, 'a'), std::string("Größe \xf0\x9f\x92\xbe")}) {
        exports.infos = {std::make_shared<ExportInfo>(export_named(name))};
        CHECK(Client(exports).verdict(Option::go, info_data(name)) == OptionReply::ack);
        Client old(exports);
        old.send(option(Option::export_name, name));
        CHECK(old.in_transmission());
    }
}

TEST_CASE("I13 I14: the flags word offers what the export can do and the connection agreed on") {
    // Without SEND_FLUSH a kernel never flushes; DF without structured replies is forbidden.
    const Exports exports = two_exports();
    Client client(exports);
    CHECK(size_info(client.ask(Option::info, info_data("disk"))).transmission_flags == 0xd6d);
    CHECK(size_info(client.ask(Option::info, info_data("rom"))).transmission_flags == 0x50f);
    client.ask(Option::structured_reply);
    CHECK(size_info(client.ask(Option::info, info_data("disk"))).transmission_flags == 0xded);
    CHECK(size_info(client.ask(Option::info, info_data("rom"))).transmission_flags == 0x58f);

    CHECK(transmission_flags(ExportInfo{}, Form::simple) == (flag_has_flags | send_cache));
    ExportInfo info;
    info.can_trim = true;
    CHECK(transmission_flags(info, Form::simple) == (flag_has_flags | send_cache | send_trim));
}

TEST_CASE("I16: sixty INFOs hold nothing of the export") {
    // Somebody who only looks must not keep a removed export alive.
    const Exports exports = two_exports();
    Client client(exports);
    for (int i = 0; i < 60; ++i) client.ask(Option::info, info_data("disk"));
    CHECK(exports.infos[0].use_count() == 1);
    client.ask(Option::go, info_data("disk"));
    CHECK(exports.infos[0].use_count() == 2);
}

TEST_CASE("M1 M2 M3 M4: contexts are listed by wildcard and chosen by name, each once") {
    // qemu and libnbd always ask for base:allocation.
    const Exports exports = two_exports();
    Client client(exports);
    client.ask(Option::structured_reply);
    const std::string all[] = {u32(0) + "base:allocation", u32(0) + "x-dmnbd:map"};
    auto replies = client.ask(Option::list_meta_context, meta_data("disk", {}));
    REQUIRE(replies.size() == 3);
    CHECK(replies[0].type == OptionReply::meta_context);
    CHECK(replies[0].data == all[0]);
    CHECK(replies[1].data == all[1]);
    CHECK(replies[2].data.empty());
    replies =
        client.ask(Option::list_meta_context, meta_data("disk", {"base:", "base:allocation"}));
    REQUIRE(replies.size() == 2);
    CHECK(replies[0].data == all[0]);
    const std::vector<std::string> vain = {"base:", "x-dmnbd:", "x-nobody:x", "base:x", "nocolon"};
    CHECK(client.ask(Option::set_meta_context, meta_data("disk", vain)).size() == 1);
    replies = client.ask(Option::set_meta_context,
                         meta_data("disk", {"x-dmnbd:map", "base:allocation", "base:allocation"}));
    REQUIRE(replies.size() == 3);
    CHECK(replies[0].data == u32(1) + "base:allocation");
    CHECK(replies[1].data == u32(2) + "x-dmnbd:map");
    CHECK(replies[2].type == OptionReply::ack);
    for (const Option code : {Option::list_meta_context, Option::set_meta_context}) {
        CHECK(client.verdict(code, meta_data("nobody", vain)) == OptionReply::error_unknown);
    }
}

TEST_CASE("M7 M8: the choice holds for the export it was made for, until the next one") {
    // Also one that fails takes back what was chosen.
    const Exports exports = two_exports();
    const auto contexts = [&](const std::vector<std::string>& options) {
        Client client(exports);
        client.ask(Option::structured_reply);
        for (const std::string& each : options) client.send(each);
        REQUIRE(client.in_transmission());
        return client.handshake.terms().contexts;
    };
    const std::string set =
        option(Option::set_meta_context, meta_data("disk", {"base:allocation"}));
    const std::string go = option(Option::go, info_data("disk"));
    CHECK(contexts({set, go}) == bit_of(MetaContext::allocation));
    CHECK(contexts({set, option(Option::export_name, "disk")}) == bit_of(MetaContext::allocation));
    CHECK(contexts({set, option(Option::go, info_data("rom"))}) == 0);
    CHECK(contexts({set, option(Option::info, info_data("rom")), go}) != 0);
    const std::string bad[] = {meta_data("nobody", {"base:allocation"}), "junk",
                               meta_data("disk", {})};
    for (const std::string& data : bad) {
        CHECK(contexts({set, option(Option::set_meta_context, data), go}) == 0);
    }
}

TEST_CASE("S10 S12 S15: extended headers take the place of structured replies") {
    // They imply them, and leave no way back.
    const Exports exports = two_exports();
    Client client(exports);
    CHECK(client.verdict(Option::structured_reply) == OptionReply::ack);
    CHECK(client.verdict(Option::extended_headers) == OptionReply::ack);
    CHECK(client.verdict(Option::extended_headers) == OptionReply::error_invalid);
    CHECK(client.verdict(Option::structured_reply) == OptionReply::error_extended_headers_required);
    const auto replies = client.ask(Option::go, info_data("disk"));
    CHECK(size_info(replies).transmission_flags == 0xded);
    CHECK(client.handshake.terms().form == Form::extended);

    Client old(exports);
    CHECK(old.verdict(Option::extended_headers) == OptionReply::ack);
    old.send(option(Option::export_name, "disk"));
    CHECK(old.dropped());
}

TEST_CASE("M5: metadata queries with lengths that do not fit are ERR_INVALID") {
    // A count of 2^32-1 with no data must not loop that often either.
    const Exports exports = two_exports();
    Client client(exports);
    client.ask(Option::structured_reply);
    const std::vector<std::string> bad = {
        "",
        "123",
        text("disk"),
        text("disk") + "123",
        text("disk") + u32(0xffffffff),
        text("disk") + u32(1) + u32(100) + "base:",
        text("disk") + u32(2) + text("base:"),
        text("disk") + u32(0) + text("base:"),
        u32(0xffffffff) + u32(0),
        meta_data("disk", {"base:\xff"}),
        meta_data("di\xffsk", {}),
    };
    for (const std::string& data : bad) {
        CHECK(client.verdict(Option::list_meta_context, data) == OptionReply::error_invalid);
        CHECK(client.verdict(Option::set_meta_context, data) == OptionReply::error_invalid);
    }
    const std::string over_long(4097, 'a');
    CHECK(client.verdict(Option::set_meta_context, meta_data("disk", {over_long})) ==
          OptionReply::error_too_big);
    CHECK(client.verdict(Option::go, info_data("disk")) == OptionReply::ack);
}

TEST_CASE("M6: SET_META_CONTEXT before structured replies is ERR_INVALID") {
    // Contexts are of no use without chunks to report them in.
    const Exports exports = two_exports();
    CHECK(Client(exports).verdict(Option::set_meta_context, meta_data("disk", {"base:"})) ==
          OptionReply::error_invalid);
}
