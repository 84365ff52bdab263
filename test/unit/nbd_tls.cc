#include <doctest/doctest.h>

#include "unit/nbd_client.h"

// Ids such as X1 are those of the conformance checklist: TLS. What is encrypted is no business of
// the handshake; from starting_tls on its bytes come out of TLS.
using namespace nbd_test;

namespace {

/// "disk" for all, "vault" for TLS only, "bench" never with TLS.
Exports three_exports() {
    ExportInfo vault = export_named("vault");
    vault.tls = TlsUse::only;
    ExportInfo bench = export_named("bench");
    bench.tls = TlsUse::never;
    Exports exports;
    exports.infos.push_back(std::make_shared<ExportInfo>(export_named("disk")));
    exports.infos.push_back(std::make_shared<ExportInfo>(vault));
    exports.infos.push_back(std::make_shared<ExportInfo>(bench));
    return exports;
}

bool start_tls(Client& client) {
    const auto answer = client.ask(Option::starttls);
    if (answer.size() != 1 || answer[0].type != OptionReply::ack || !answer[0].data.empty()) {
        return false;
    }
    if (!client.starting_tls()) return false;
    client.handshake.tls_started();
    return client.negotiating();
}

std::vector<std::string> names(Client& client) {
    std::vector<std::string> all;
    for (const Reply& reply : client.ask(Option::list)) {
        if (reply.type != OptionReply::server) continue;
        const auto bytes = wire_read<be32>(std::as_bytes(std::span(reply.data)));
        all.push_back(reply.data.substr(4, bytes));
    }
    return all;
}

}  // namespace

TEST_CASE("X1: without credentials STARTTLS is refused, and the client may go on in plaintext") {
    const Exports exports = three_exports();
    Client off(exports, TlsMode::off);
    CHECK(off.verdict(Option::starttls) == OptionReply::error_policy);
    CHECK(off.verdict(Option::go, info_data("disk")) == OptionReply::ack);

    Client absent(exports, TlsMode::absent);
    const auto answer = absent.ask(Option::starttls);
    REQUIRE(answer.size() == 1);
    CHECK(answer[0].type == OptionReply::error_unsupported);
    CHECK(answer[0].data.find("OpenSSL") != std::string::npos);
    CHECK(absent.verdict(Option::go, info_data("disk")) == OptionReply::ack);
}

TEST_CASE("without TLS no client is told to start it, and what needs it is not there") {
    const Exports exports = three_exports();
    for (const TlsMode mode : {TlsMode::off, TlsMode::absent}) {
        Client client(exports, mode);
        CHECK(client.verdict(Option::info, info_data("vault")) == OptionReply::error_unknown);
        CHECK(names(client) == std::vector<std::string>{"disk", "bench"});
        client.send(option(Option::export_name, "vault"));
        CHECK(client.dropped());
    }
}

TEST_CASE("X2 X3: where TLS is required, nothing but STARTTLS and ABORT is answered before") {
    const Exports exports = three_exports();
    const auto required = OptionReply::error_tls_required;
    Client client(exports, TlsMode::required);
    CHECK(client.verdict(Option::list) == required);
    CHECK(client.verdict(Option::info, info_data("disk")) == required);
    CHECK(client.verdict(Option::go, info_data("nobody")) == required);
    CHECK(client.verdict(Option::structured_reply) == required);
    CHECK(client.verdict(Option::structured_reply, "x") == required);
    CHECK(client.verdict(Option::set_meta_context, meta_data("disk", {})) == required);
    client.send(option(0x7777, std::string(5000, 'x')));
    const auto unknown = client.replies();
    REQUIRE(unknown.size() == 1);
    CHECK(unknown[0].type == required);
    CHECK(unknown[0].option == 0x7777);

    Client leaving(exports, TlsMode::required);
    CHECK(leaving.verdict(Option::abort) == OptionReply::ack);
    CHECK(leaving.handshake.state() == Handshake::State::aborted);

    Client old(exports, TlsMode::required);
    old.send(option(Option::export_name, "disk"));
    CHECK(old.dropped());
    CHECK(old.received.empty());
}

TEST_CASE(
    "behind STARTTLS a client that had to start it gets everything that is not kept from it") {
    const Exports exports = three_exports();
    Client client(exports, TlsMode::required);
    REQUIRE(start_tls(client));
    CHECK(names(client) == std::vector<std::string>{"disk", "vault"});
    CHECK(client.verdict(Option::info, info_data("bench")) == OptionReply::error_unknown);
    CHECK(client.verdict(Option::go, info_data("vault")) == OptionReply::ack);
    CHECK(client.in_transmission());
    CHECK(client.handshake.granted_export()->name == "vault");
}

TEST_CASE("X4: STARTTLS with data, and a second one, are refused") {
    const Exports exports = three_exports();
    for (const TlsMode mode : {TlsMode::offered, TlsMode::required}) {
        Client client(exports, mode);
        CHECK(client.verdict(Option::starttls, "now") == OptionReply::error_invalid);
        REQUIRE(client.negotiating());
        REQUIRE(start_tls(client));
        CHECK(client.verdict(Option::starttls) == OptionReply::error_invalid);
        CHECK(client.verdict(Option::go, info_data("disk")) == OptionReply::ack);
    }
}

TEST_CASE("X5: plaintext behind STARTTLS is not taken, and closes the connection") {
    // A man in the middle could have put it there (CVE-2021-3716).
    const Exports exports = three_exports();
    Client client(exports, TlsMode::offered);
    client.send(option(Option::starttls) + option(Option::list));
    CHECK(client.dropped());
    CHECK(client.handshake.reason().find("STARTTLS") != std::string::npos);
    CHECK(client.replies().size() <= 1);

    Client byte(exports, TlsMode::required);
    byte.send(option(Option::starttls) + "x");
    CHECK(byte.dropped());
}

TEST_CASE("STARTTLS that comes in pieces is the last to be taken in plaintext") {
    const Exports exports = three_exports();
    Client client(exports, TlsMode::offered);
    for (const char byte : option(Option::starttls)) client.send(std::string(1, byte));
    CHECK(client.starting_tls());
    CHECK(client.send(option(Option::list)) == 0);
    CHECK(client.replies().size() == 1);
}

TEST_CASE("M9: what was agreed on before STARTTLS is forgotten") {
    const Exports exports = three_exports();
    Client client(exports, TlsMode::offered);
    REQUIRE(client.verdict(Option::structured_reply) == OptionReply::ack);
    REQUIRE(start_tls(client));
    CHECK(client.verdict(Option::set_meta_context, meta_data("disk", {})) ==
          OptionReply::error_invalid);
    REQUIRE(client.verdict(Option::go, info_data("disk")) == OptionReply::ack);
    CHECK(client.handshake.terms().form == Form::simple);
    CHECK(client.handshake.terms().contexts == 0);

    Client again(exports, TlsMode::offered);
    REQUIRE(again.verdict(Option::structured_reply) == OptionReply::ack);
    REQUIRE(start_tls(again));
    CHECK(again.verdict(Option::structured_reply) == OptionReply::ack);
}

TEST_CASE("STARTTLS gives a client no more options than it had") {
    const Exports exports = three_exports();
    Client client(exports, TlsMode::offered);
    for (int i = 0; i < 60; ++i) client.verdict(Option::list);
    REQUIRE(start_tls(client));
    int answered = 0;
    while (client.negotiating() && answered < 1000)
        answered += client.ask(Option::list).empty() ? 0 : 1;
    CHECK(client.dropped());
    CHECK(answered < 64);
}

TEST_CASE("X7: an export for TLS only is hidden from those without, as any name would be") {
    const Exports exports = three_exports();
    Client client(exports, TlsMode::offered);
    CHECK(names(client) == std::vector<std::string>{"disk", "bench"});
    const auto hidden = client.ask(Option::info, info_data("vault"));
    const auto unknown = client.ask(Option::info, info_data("fault"));
    REQUIRE(hidden.size() == 1);
    REQUIRE(unknown.size() == 1);
    CHECK(hidden[0].type == OptionReply::error_tls_required);
    CHECK(unknown[0].type == OptionReply::error_tls_required);
    CHECK(hidden[0].data.size() == unknown[0].data.size());
    CHECK(client.verdict(Option::go, info_data("disk")) == OptionReply::ack);

    Client other(exports, TlsMode::offered);
    CHECK(other.verdict(Option::list_meta_context, meta_data("vault", {})) ==
          OptionReply::error_unknown);
    other.send(option(Option::export_name, "vault"));
    CHECK(other.dropped());
}

TEST_CASE("where no export needs TLS, a client without it hears the plain truth") {
    const Exports exports = two_exports();
    Client client(exports, TlsMode::offered);
    CHECK(client.verdict(Option::info, info_data("nobody")) == OptionReply::error_unknown);
    CHECK(client.verdict(Option::go, info_data("rom")) == OptionReply::ack);
}

TEST_CASE("after STARTTLS nobody is told to start TLS") {
    const Exports exports = three_exports();
    Client client(exports, TlsMode::offered);
    REQUIRE(start_tls(client));
    CHECK(client.verdict(Option::info, info_data("nobody")) == OptionReply::error_unknown);
    CHECK(client.verdict(Option::info, info_data("bench")) == OptionReply::error_unknown);
    client.send(option(0x7777));
    CHECK(client.replies().at(0).type == OptionReply::error_unsupported);
}

TEST_CASE("a server that stops starts no TLS") {
    const Exports exports = three_exports();
    Client client(exports, TlsMode::required);
    client.handshake.shut_down();
    CHECK(client.verdict(Option::starttls) == OptionReply::error_shutdown);
    CHECK(client.verdict(Option::abort) == OptionReply::ack);
}
