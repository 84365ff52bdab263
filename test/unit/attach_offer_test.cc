#include <doctest/doctest.h>
#include <sys/socket.h>

#include <thread>

#include "server/attach/address.h"
#include "server/attach/error.h"
#include "server/attach/offer.h"
#include "unit/served.h"

using namespace server::attach;
using namespace server::nbd;
using server::Socket;
using Kind = AttachError::Kind;

namespace {

constexpr const char* table =
    "stores:\n"
    "  ram: { type: memory, size: 1MiB }\n"
    "  img: { type: file, path: \"@/img\", size: 2MiB, create: true }\n"
    "devices:\n"
    "  a: { table: [ { target: linear, args: { device: ram } } ] }\n"
    "  b: { retry: { deadline: 45s }, table: [ { target: linear, args: { device: img } } ] }\n"
    "  c: { table: [ { target: linear, args: { device: b } } ] }\n"
    "  both: { table: [ { target: linear, args: { device: a } }, { target: linear, args: { device: "
    "img } } ] }\n"
    "exports: { \"\": a, file: b, top: c, rom: { device: b, read_only: true }, both: both }\n";

NbdAddress address_of(const Served& served) {
    return {.path = served.socket, .host = {}, .port = {}};
}

Clock::time_point soon() {
    return Clock::now() + std::chrono::seconds(5);
}

Offer ask(const Served& served, const std::string& name) {
    const Socket socket = connect_to(address_of(served), soon());
    return ask_export(socket.fd(), name, soon());
}

std::string identity(const Served& served, const std::string& name) {
    return ask(served, name).identity.value().text;
}

/// What the client makes of a server that says just this.
AttachError refusal_of(const std::string& answer, bool closes = true) {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    const Socket here(pair[0]);
    const Socket there(pair[1]);
    REQUIRE(::send(there.fd(), answer.data(), answer.size(), 0) ==
            static_cast<ssize_t>(answer.size()));
    if (closes) ::shutdown(there.fd(), SHUT_WR);
    try {
        enter_export(here.fd(), "disk", Clock::now() + std::chrono::milliseconds(50));
    } catch (const AttachError& error) {
        return error;
    }
    return {Kind::usage, "it was believed"};
}

std::string greeting(std::uint16_t flags = 3) {
    Greeting bytes;
    bytes.flags = flags;
    return nbd_test::raw(bytes);
}

std::string reply(std::uint32_t type, const std::string& data = {}, std::uint32_t option = 7) {
    OptionReplyHeader head;
    head.option = option;
    head.type = type;
    head.data_bytes = static_cast<std::uint32_t>(data.size());
    return nbd_test::raw(head) + data;
}

std::string size_info() {
    InfoExport info;
    info.size_bytes = 4096;
    return nbd_test::raw(info);
}

constexpr auto info = static_cast<std::uint32_t>(OptionReply::info);
constexpr auto ack = static_cast<std::uint32_t>(OptionReply::ack);

}  // namespace

TEST_CASE("the handshake enters an export, and leaves the socket at the first request") {
    const Served served(table);
    const Socket socket = connect_to(address_of(served), soon());
    const Offer offer = enter_export(socket.fd(), "file", soon());
    CHECK(offer.size_bytes == 2 << 20);
    CHECK(offer.has(send_flush));
    CHECK(offer.has(flag_can_multi_conn));
    CHECK_FALSE(offer.has(send_df));  // The kernel knows no structured replies.
    CHECK(offer.min_block_bytes == 512);
    const std::string request = nbd_test::request_header(Command::read, 5, 0, 512);
    REQUIRE(::send(socket.fd(), request.data(), request.size(), 0) == 28);
    std::string answer(sizeof(SimpleReply) + 512, '\1');
    REQUIRE(::recv(socket.fd(), answer.data(), answer.size(), MSG_WAITALL) == 528);
    CHECK(wire_read<SimpleReply>(std::as_bytes(std::span(answer))).magic == simple_reply_magic);
    CHECK(answer.substr(16) == std::string(512, '\0'));
}

TEST_CASE("an offer tells read-only, and how long an answer may take") {
    const Served served(table);
    CHECK(ask(served, "rom").has(flag_read_only));
    CHECK(ask(served, "file").identity.value().answer_ms == 45'000);
    CHECK_THROWS_WITH_AS(ask(served, "none"), doctest::Contains("has not got export \"none\""),
                         AttachError);
}

TEST_CASE("the identity is that of the stores below, and lasts as long as they do") {
    std::string file;
    std::string both;
    std::string top;
    std::string memory;
    Folder elsewhere;
    const std::string path = elsewhere / "img";
    std::string text = table;
    text.replace(text.find("@/img"), 5, path);
    std::uint64_t number = 0;
    {
        const Served served(text);
        memory = identity(served, "");
        file = identity(served, "file");
        both = identity(served, "both");
        top = identity(served, "top");
        CHECK(memory.starts_with("a@memory:"));
        CHECK(file.starts_with("b@file:"));
        CHECK(top == "c" + file.substr(1));
        CHECK(both.starts_with("both@2 stores:"));
        CHECK(identity(served, "rom") == file);
        CHECK(identity(served, "") == memory);
        number = ask(served, "").identity->server;
    }
    const Served again(text);
    CHECK(identity(again, "file") == file);
    CHECK(identity(again, "top") == top);
    CHECK(identity(again, "") != memory);
    CHECK(identity(again, "both") != both);
    CHECK(ask(again, "").identity->server == number);  // It is still this program.
}

TEST_CASE("a file that was made anew under the same name has another identity") {
    Folder elsewhere;
    std::string text = table;
    text.replace(text.find("@/img"), 5, elsewhere / "img");
    std::string before;
    {
        const Served served(text);
        before = identity(served, "file");
    }
    std::filesystem::remove(elsewhere / "img");
    const Served served(text);
    CHECK(identity(served, "file") != before);
}

TEST_CASE("an export that has grown says so to who asks") {
    Served served(table);
    CHECK(ask(served, "").size_bytes == 1 << 20);
    std::string grown = table;
    grown.replace(grown.find("a: { table: [ "), 14,
                  "a: { table: [ { target: zero, length: 1MiB }, ");
    served.apply(grown);
    CHECK(ask(served, "").size_bytes == 2 << 20);
}

TEST_CASE("a server that is bad at NBD is told so") {
    const std::string good = greeting() + reply(info, size_info());
    CHECK(refusal_of(good + reply(ack)).kind == Kind::usage);  // That is: it was believed.
    struct Bad {
        std::string answer;
        const char* said;
    };
    InfoIdentity head;
    const Bad all[] = {
        {"SSH-2.0-OpenSSH_9.2p1\r\n", "its greeting"},
        {greeting(2), "too old"},
        {greeting() + reply(ack), "no size"},
        {greeting() + std::string(20, 'x'), "magic"},
        {greeting() + reply(ack, "", 6), "not sent"},
        {greeting() + reply(info, size_info() + "x"), "wrong length"},
        {greeting() + reply(info, "x"), "wrong length"},
        {good + reply(info, nbd_test::raw(head) + "\xff"), "not a text"},
        {good + reply(17), "unknown type"},
        {greeting() + reply(info, std::string(65537, 'x')), "too long"},
        {greeting() + reply(0x80000005), "TLS"},
        {greeting() + reply(0x80000001), "too old"},
        {greeting() + reply(0x80000006, "no such disk"), "no such disk"},
        {greeting() + reply(0x80000002, "\x1b[31m"), "\\x1b"},
    };
    for (const Bad& each : all) {
        const AttachError error = refusal_of(each.answer);
        CAPTURE(each.said);
        CHECK_MESSAGE(std::string(error.what()).find(each.said) != std::string::npos, error.what());
    }
    std::string endless = good;
    for (int i = 0; i < 70; ++i) endless += reply(info, size_info());
    CHECK(std::string(refusal_of(endless).what()).find("no end") != std::string::npos);
}

TEST_CASE("a server that says nothing, or ends, is no server") {
    CHECK(refusal_of("", false).kind == Kind::no_server);
    const std::string whole = greeting() + reply(info, size_info()) + reply(ack);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        CHECK(refusal_of(whole.substr(0, i)).kind == Kind::no_server);
    }
    CHECK_THROWS_WITH_AS(connect_to(parse_nbd_address("unix:/nowhere/nbd.sock"), soon()),
                         doctest::Contains("no NBD server answers at nbd+unix:///?socket=/nowhere"),
                         AttachError);
}

TEST_CASE("a server that says little by little has no longer than one that says nothing") {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    const Socket here(pair[0]);
    const Socket there(pair[1]);
    const std::string whole = greeting() + reply(info, size_info()) + reply(ack);
    const std::jthread server([&](const std::stop_token& stop) {
        for (const char& each : whole) {
            if (stop.stop_requested() || ::send(there.fd(), &each, 1, MSG_NOSIGNAL) != 1) return;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    });
    const auto until = Clock::now() + std::chrono::milliseconds(100);
    CHECK_THROWS_WITH_AS(enter_export(here.fd(), "disk", until), doctest::Contains("in time"),
                         AttachError);
    CHECK(Clock::now() >= until);
}
