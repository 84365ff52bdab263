// What a session tells of data without sending it: holes of reads, BLOCK_STATUS, CACHE.
#include <doctest/doctest.h>

#include "unit/session_bench.h"

using namespace nbd_test;
using stack::Probe;

namespace {

constexpr std::uint64_t kib = 1024;

/// A chunk of either form.
struct Piece {
    std::uint16_t flags;
    std::uint16_t type;
    std::uint64_t cookie;
    std::string payload;
    friend bool operator==(const Piece&, const Piece&) = default;
};

template <class Header>
std::vector<Piece> pieces_of(const std::string& bytes) {
    std::vector<Piece> pieces;
    std::size_t at = 0;
    while (at < bytes.size()) {
        REQUIRE(bytes.size() - at >= sizeof(Header));
        const auto head = wire_read<Header>(std::as_bytes(std::span(bytes)).subspan(at));
        REQUIRE(head.magic == Header{}.magic);
        at += sizeof head;
        pieces.push_back(
            {head.flags, head.type, head.cookie, bytes.substr(at, head.payload_bytes)});
        at += head.payload_bytes;
    }
    return pieces;
}

std::string data(std::uint64_t offset, std::size_t bytes, char byte = 'x') {
    return raw(be64(offset)) + std::string(bytes, byte);
}
std::string hole(std::uint64_t offset, std::uint32_t bytes) {
    return raw(be64(offset)) + u32(bytes);
}
std::string extents(const std::vector<std::pair<std::uint64_t, std::uint32_t>>& all) {
    std::string text;
    for (const auto& [bytes, state] : all)
        text += u32(static_cast<std::uint32_t>(bytes)) + u32(state);
    return text;
}

void write(Bench& bench, std::uint64_t offset, std::uint32_t bytes, char byte = 'x') {
    bench.feed(Bench::request(Command::write, 99, offset, bytes) + std::string(bytes, byte));
    bench.output();
}

constexpr std::uint32_t empty = state_hole | state_zero;

}  // namespace

TEST_CASE("S4 S5: zeroes of a READ are told, data is sent, and the chunks tile the request") {
    Bench bench(Form::structured);
    write(bench, 64 * kib, 8 * kib);
    bench.feed(Bench::request(Command::read, 5, 0, 128 * kib));
    const std::vector<Piece> expected = {{0, 2, 5, hole(0, 64 * kib)},
                                         {0, 1, 5, data(64 * kib, 8 * kib)},
                                         {1, 2, 5, hole(72 * kib, 56 * kib)}};
    CHECK(pieces_of<ChunkHeader>(bench.output()) == expected);
    bench.feed(Bench::request(Command::read, 6, 256 * kib, 512));
    CHECK(pieces_of<ChunkHeader>(bench.output()) ==
          std::vector<Piece>{{1, 2, 6, hole(256 * kib, 512)}});
    CHECK(bench.session->idle());
    CHECK(bench.buffers.used_bytes() == 0);
}

TEST_CASE("S6: a READ with DF is one chunk of data, zeroes and all") {
    Bench bench(Form::structured);
    bench.feed(Bench::request(Command::read, 5, 0, 64 * kib, command_flag_df));
    CHECK(pieces_of<ChunkHeader>(bench.output()) ==
          std::vector<Piece>{{1, 1, 5, data(0, 64 * kib, '\0')}});
}

TEST_CASE("chunks of several reads take turns, however the socket cuts them") {
    Bench bench(Form::structured);
    for (std::uint64_t at = 0; at < 256 * kib; at += 64 * kib) write(bench, at, 32 * kib);
    bench.feed(Bench::request(Command::read, 1, 0, 128 * kib) +
               Bench::request(Command::read, 2, 128 * kib, 128 * kib));
    bench.world.run();
    std::string sent;
    std::array<iovec, 8> pieces;
    while (bench.session->output(pieces) > 0) {
        const std::size_t bytes = std::min<std::size_t>(pieces[0].iov_len, 10'000);
        sent.append(static_cast<const char*>(pieces[0].iov_base), bytes);
        bench.session->sent(bytes);
    }
    std::map<std::uint64_t, std::vector<Piece>> by_cookie;
    for (const Piece& each : pieces_of<ChunkHeader>(sent)) by_cookie[each.cookie].push_back(each);
    for (std::uint64_t cookie : {1, 2}) {
        const std::uint64_t at = (cookie - 1) * 128 * kib;
        const std::vector<Piece> expected = {{0, 1, cookie, data(at, 32 * kib)},
                                             {0, 2, cookie, hole(at + 32 * kib, 32 * kib)},
                                             {0, 1, cookie, data(at + 64 * kib, 32 * kib)},
                                             {1, 2, cookie, hole(at + 96 * kib, 32 * kib)}};
        CHECK(by_cookie[cookie] == expected);
    }
    CHECK(bench.session->idle());
}

TEST_CASE("a READ never falls into more than a few dozen chunks") {
    Bench bench(Form::structured);
    for (std::uint64_t at = 0; at < 1024 * kib; at += 128 * kib) write(bench, at, 64 * kib);
    bench.feed(Bench::request(Command::read, 1, 0, 1024 * kib));
    CHECK(pieces_of<ChunkHeader>(bench.output()).size() == 16);
    bench.feed(Bench::request(Command::read, 1, 0, 4096 * kib));
    const auto pieces = pieces_of<ChunkHeader>(bench.output());
    REQUIRE(pieces.size() == 2);
    CHECK(pieces[0].payload.size() == 8 + 960 * kib);  // Its holes of 64 KiB are sent.
}

TEST_CASE("M10 M13 M14: BLOCK_STATUS tells of each range what the stores say, and who serves it") {
    // The map: row, store and whether it fails, by the table and its targets.
    Bench bench(Form::structured,
                "0 512 linear d 1024\n512 512 zero\n1024 512 error\n1536 512 flakey d 0 0 1");
    write(bench, 0, 64 * kib);
    bench.feed(Bench::request(Command::block_status, 3, 0, 1024 * kib));
    const auto pieces = pieces_of<ChunkHeader>(bench.output());
    REQUIRE(pieces.size() == 2);
    CHECK(pieces[0] ==
          Piece{0, 5, 3, u32(1) + extents({{64 * kib, 0}, {448 * kib, empty}, {512 * kib, 0}})});
    constexpr std::uint32_t d = 1 << 16;
    constexpr std::uint32_t fails = 1U << 31;
    CHECK(pieces[1] == Piece{1, 5, 3,
                             u32(2) + extents({{256 * kib, d | 0},
                                               {256 * kib, 1},
                                               {256 * kib, fails | 2},
                                               {256 * kib, fails | d | 3}})});
}

TEST_CASE("M12: REQ_ONE is one extent, and no longer than the request") {
    Bench bench(Form::structured);
    write(bench, 64 * kib, 64 * kib);
    bench.feed(Bench::request(Command::block_status, 1, 32 * kib, 512 * kib, command_flag_req_one) +
               Bench::request(Command::block_status, 2, 0, 512, command_flag_req_one));
    const auto pieces = pieces_of<ChunkHeader>(bench.output());
    REQUIRE(pieces.size() == 4);
    CHECK(pieces[0].payload == u32(1) + extents({{32 * kib, empty}}));
    CHECK(pieces[1].payload == u32(2) + extents({{512 * kib, 1 << 16}}));
    CHECK(pieces[2].payload == u32(1) + extents({{512, empty}}));
}

TEST_CASE("S11 S14: with extended headers one BLOCK_STATUS, and one TRIM, spans the disk") {
    Bench bench(Form::extended, "0 16777216 zero");
    ExtendedRequestHeader header;
    header.magic = extended_request_magic;
    header.type = static_cast<std::uint16_t>(Command::block_status);
    header.cookie = std::uint64_t{8};
    header.length_bytes = std::uint64_t{8} << 30;
    bench.feed(raw(header));
    const auto pieces = pieces_of<ExtendedChunkHeader>(bench.output());
    REQUIRE(pieces.size() == 2);
    const std::string length = raw(be64{std::uint64_t{8} << 30});
    CHECK(pieces[0] == Piece{0, 6, 8, u32(1) + u32(1) + length + raw(be64{std::uint64_t{empty}})});
    CHECK(pieces[1] == Piece{1, 6, 8, u32(2) + u32(1) + length + raw(be64{})});
    header.type = static_cast<std::uint16_t>(Command::trim);
    bench.feed(raw(header));
    CHECK(pieces_of<ExtendedChunkHeader>(bench.output()) == std::vector<Piece>{{1, 0, 8, ""}});
}

TEST_CASE("stripes are asked about once a leg, not once a chunk") {
    Bench bench(Form::structured, "0 65536 striped 2 8 d 0 d 500000");
    write(bench, 0, 128 * kib);
    bench.d.seen.clear();
    bench.feed(Bench::request(Command::block_status, 1, 0, 8 << 20));
    const auto pieces = pieces_of<ChunkHeader>(bench.output());
    REQUIRE(pieces.size() == 2);
    CHECK(bench.d.seen.size() == 2);
    std::uint64_t told = 0;
    for (std::size_t at = 4; at < pieces[0].payload.size(); at += 8) {
        told += wire_read<be32>(std::as_bytes(std::span(pieces[0].payload)).subspan(at));
    }
    CHECK(told == 8 << 20);
}

TEST_CASE("a store that can't tell leaves everything data; one that fails, too") {
    Bench bench(Form::structured);
    bench.d.decide = [](const dmcore::Bio&) { return Probe::Answer::fail; };
    bench.feed(Bench::request(Command::block_status, 1, 0, 64 * kib));
    const auto pieces = pieces_of<ChunkHeader>(bench.output());
    REQUIRE(pieces.size() == 2);
    CHECK(pieces[0].payload == u32(1) + extents({{64 * kib, 0}}));
}

TEST_CASE("BLOCK_STATUS goes on while its device is suspended, and ends with its connection") {
    Bench bench(Form::structured);
    bench.device.suspend(true, [](auto&&...) {});
    bench.world.run();
    bench.feed(Bench::request(Command::block_status, 1, 0, 64 * kib));
    CHECK(pieces_of<ChunkHeader>(bench.output()).size() == 2);
    bench.d.decide = [](const dmcore::Bio&) { return Probe::Answer::keep; };
    bench.feed(Bench::request(Command::block_status, 2, 0, 64 * kib));
    bench.world.run();
    bench.session->die();
    CHECK_FALSE(bench.session->idle());
    bench.d.finish_kept();
    CHECK(bench.output().empty());
    CHECK(bench.session->idle());
    CHECK(bench.d.seen.size() == 2);
}

TEST_CASE("T7: CACHE goes to the stores below, each part to its own") {
    Bench bench(Form::structured, "0 512 linear d 1024\n512 512 zero\n1024 512 linear d 0");
    bench.feed(Bench::request(Command::cache, 4, 0, 768 * kib));
    CHECK(pieces_of<ChunkHeader>(bench.output()) == std::vector<Piece>{{1, 0, 4, ""}});
    CHECK(bench.d.ranges() == stack::Ranges{{1024, 512}, {0, 512}});
    CHECK(bench.d.seen[0].op == dmcore::Op::prefetch);
}
