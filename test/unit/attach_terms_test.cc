#include <doctest/doctest.h>

#include "server/attach/attachment.h"
#include "server/attach/device.h"
#include "server/attach/error.h"
#include "server/nbd/wire.h"
#include "unit/cli_fixture.h"

using namespace server::attach;
namespace nbd = server::nbd;
namespace exits = cli_test::exits;
using std::chrono::seconds;

namespace {

constexpr std::uint16_t usual = nbd::flag_has_flags | nbd::send_flush | nbd::send_fua |
                                nbd::send_trim | nbd::flag_can_multi_conn;

Offer offer(const std::string& identity = "disk@file:1", std::uint64_t server = 1) {
    return {.size_bytes = 1 << 20,
            .flags = usual,
            .min_block_bytes = 512,
            .identity = nbd::Identity{.server = server, .answer_ms = 0, .text = identity}};
}

std::string why_not(const Offer& before, const Offer& now) {
    return mismatch(before, now, before.size_bytes, 512);
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("without options the terms are those that fit the export") {
    const Terms terms = terms_of({}, offer());
    CHECK(terms.connections == 4);
    CHECK(terms.block_bytes == 512);
    CHECK(terms.timeout == seconds(30));
    CHECK(terms.dead_timeout == seconds(60));
    CHECK(terms.notes.empty());
    Offer large = offer();
    large.min_block_bytes = 4096;
    CHECK(terms_of({}, large).block_bytes == 4096);
}

TEST_CASE("an export that may take long gets a longer timeout") {
    Offer slow = offer();
    slow.identity->answer_ms = 75'001;
    CHECK(terms_of({}, slow).timeout == seconds(86));
    CHECK(terms_of({}, slow).dead_timeout == seconds(86));
    Options options;
    options.timeout = seconds(75);
    options.dead_timeout = seconds(5);
    const Terms terms = terms_of(options, slow);
    CHECK(terms.timeout == seconds(75));
    CHECK(terms.dead_timeout == seconds(5));
    REQUIRE(terms.notes.size() == 1);
    CHECK(has(terms.notes[0], "longer --timeout"));
}

TEST_CASE("one connection where the server offers no more, with a note if more were asked for") {
    Offer single = offer();
    single.flags &= static_cast<std::uint16_t>(~nbd::flag_can_multi_conn);
    CHECK(terms_of({}, single).connections == 1);
    CHECK(terms_of({}, single).notes.empty());
    Options options;
    options.connections = 8;
    CHECK(terms_of(options, offer()).connections == 8);
    CHECK(terms_of(options, single).connections == 1);
    CHECK(terms_of(options, single).notes.size() == 1);
}

TEST_CASE("blocks that the kernel or the export can't have are refused") {
    Offer large = offer();
    large.min_block_bytes = 4096;
    for (const std::uint64_t bytes : {256, 513, 8192, 65536}) {
        Options options;
        options.block_bytes = bytes;
        CHECK_THROWS_AS(terms_of(options, offer()), AttachError);
    }
    Options small;
    small.block_bytes = 1024;
    CHECK(terms_of(small, offer()).block_bytes == 1024);
    CHECK_THROWS_AS(terms_of(small, large), AttachError);
    large.min_block_bytes = 65536;
    CHECK_THROWS_AS(terms_of({}, large), AttachError);
}

TEST_CASE("an export of another server may end in a part of a block, and tell no identity") {
    Offer odd{.size_bytes = 5000, .flags = usual, .identity = {}};
    const Terms terms = terms_of({}, odd);
    CHECK(usable_bytes(odd, terms) == 4608);
    CHECK(terms.notes.size() == 2);
    odd.size_bytes = 511;
    CHECK_THROWS_AS(terms_of({}, odd), AttachError);
    odd = offer();
    odd.max_payload_bytes = 65536;
    CHECK_THROWS_AS(terms_of({}, odd), AttachError);
}

TEST_CASE("after a restart only the same data may follow") {
    CHECK(why_not(offer(), offer("disk@file:1", 2)).empty());
    CHECK(has(why_not(offer(), offer("disk@file:2", 2)), "not what was attached"));
    CHECK(has(why_not(offer("disk@memory:1.1"), offer("disk@memory:2.1", 2)), "memory:2.1"));
    Offer silent = offer();
    silent.identity.reset();
    CHECK(has(why_not(offer(), silent), "does not tell"));
    CHECK(why_not(silent, offer()).empty());
}

TEST_CASE("one run of a server may change what is behind an export, as for connected clients") {
    CHECK(why_not(offer("disk@file:1"), offer("disk@file:2")).empty());
}

TEST_CASE("a server that offers less than before is refused") {
    Offer less = offer("disk@file:1", 2);
    less.size_bytes -= 512;
    CHECK(has(why_not(offer(), less), "1048064 bytes"));
    less = offer();
    less.size_bytes += 512;
    CHECK(why_not(offer(), less).empty());
    less.min_block_bytes = 4096;
    CHECK(has(why_not(offer(), less), "blocks"));
    for (const std::uint16_t flag :
         {nbd::send_flush, nbd::send_fua, nbd::send_trim, nbd::flag_can_multi_conn}) {
        less = offer();
        less.flags = static_cast<std::uint16_t>(usual & ~flag);
        CHECK(has(why_not(offer(), less), "offers no"));
        CHECK(why_not(less, offer()).empty());
    }
    less = offer();
    less.flags |= nbd::flag_read_only;
    CHECK(has(why_not(offer(), less), "read-only"));
}

TEST_CASE("addresses of NBD servers") {
    using Address = NbdAddress;
    CHECK(parse_nbd_address("nbd://10.0.0.7") == Address{"", "10.0.0.7", "10809"});
    CHECK(parse_nbd_address("nbd://localhost:1/") == Address{"", "localhost", "1"});
    CHECK(parse_nbd_address("tcp://[::1]:99") == Address{"", "::1", "99"});
    CHECK(parse_nbd_address("nbd://[::1]") == Address{"", "::1", "10809"});
    CHECK(parse_nbd_address("unix:/run/nbd.sock") == Address{"/run/nbd.sock", "", ""});
    CHECK(parse_nbd_address("nbd+unix:///?socket=/a") == Address{"/a", "", ""});
    CHECK(parse_nbd_address("nbd://[::1]:7").text() == "nbd://[::1]:7");
    CHECK(parse_nbd_address("unix:/a").text() == "nbd+unix:///?socket=/a");
    for (const char* bad : {"", "localhost", "nbd://", "nbd://a:0", "nbd://a:x", "nbd://::1",
                            "nbd://a/disk", "unix:", "nbds://a", "http://a:1"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(parse_nbd_address(bad), AttachError);
    }
    CHECK_THROWS_AS(parse_nbd_address("unix:" + std::string(200, 'x')), AttachError);
}

TEST_CASE("names of nbd devices") {
    CHECK(device_index("/dev/nbd0") == 0);
    CHECK(device_index("/dev/nbd17") == 17);
    CHECK(device_path(17) == "/dev/nbd17");
    for (const char* bad : {"nbd0", "/dev/nbd", "/dev/nbd0p1", "/dev/nbd-1", "/dev/nbd01",
                            "/dev/sda", "/dev/nbd99999", ""}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(device_index(bad), AttachError);
        CHECK(cli_test::run({"attach", "disk", bad}).code == exits::usage);
        CHECK(cli_test::run({"detach", bad}).code == exits::usage);
    }
}

TEST_CASE("the command line refuses what makes no sense before it looks for a driver") {
    const auto code = [](std::vector<std::string> options) {
        options.insert(options.begin(), {"attach", "disk", "/dev/nbd0"});
        return cli_test::run(options).code;
    };
    CHECK(code({"--connections", "0"}) == exits::usage);
    CHECK(code({"--connections", "65"}) == exits::usage);
    CHECK(code({"--timeout", "1"}) == exits::usage);
    CHECK(code({"--timeout", "10ms"}) == exits::usage);
    CHECK(code({"--block-size", "x"}) == exits::usage);
    CHECK(cli_test::run({"attach", "disk"}).code == exits::usage);
}
