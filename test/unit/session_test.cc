// The transmission phase over a stack of targets: bytes in, bytes out.
#include <doctest/doctest.h>

#include "unit/allocations.h"
#include "unit/session_bench.h"

using namespace server::nbd;
using nbd_test::Bench;
using stack::Probe;

TEST_CASE("session: write, read back, flush; each cookie comes back with its reply (T1, T2)") {
    Bench bench;
    const std::string data(4096, 'x');
    bench.feed(bench.request(Command::write, ~0ULL, 8192, 4096) + data);
    CHECK(bench.output() == bench.simple(~0ULL, 0));
    bench.feed(bench.request(Command::read, 0, 8192, 4096));
    CHECK(bench.output() == bench.simple(0, 0) + data);
    bench.feed(bench.request(Command::flush, 7, 0, 0));
    CHECK(bench.output() == bench.simple(7, 0));
    CHECK(bench.session->idle());
    CHECK(bench.buffers.used_bytes() == 0);
}

TEST_CASE("session: input cut anywhere means the same (T20)") {
    const std::string data(1024, 'y');
    const std::string all = Bench::request(Command::write, 1, 512, 1024) + data +
                            Bench::request(Command::read, 2, 512, 1024) +
                            Bench::request(Command::trim, 3, 0, 512);
    const std::string expected =
        Bench::simple(1, 0) + Bench::simple(2, 0) + data + Bench::simple(3, 0);
    for (std::size_t piece = 1; piece < 64; ++piece) {
        CAPTURE(piece);
        Bench bench;
        std::string got;
        for (std::size_t at = 0; at < all.size(); at += piece) {
            bench.feed(all.substr(at, piece));
            got += bench.output();
        }
        CHECK(got == expected);
    }
}

TEST_CASE("session: payload read straight into its request is what is written") {
    Bench bench;
    const std::string data(1 << 20, 'z');
    bench.feed(bench.request(Command::write, 1, 0, 1 << 20) + data.substr(0, 100));
    const auto room = bench.session->payload_room();
    REQUIRE(room.size() == (1 << 20) - 100);
    std::memcpy(room.data(), data.data() + 100, room.size());
    bench.session->payload_arrived(room.size());
    CHECK(bench.output() == bench.simple(1, 0));
    bench.feed(bench.request(Command::read, 2, 0, 1 << 20));
    CHECK(bench.output().substr(16) == data);
}

TEST_CASE("session: an announced payload costs no memory before its first byte (abuse case 23)") {
    Bench bench;
    bench.feed(bench.request(Command::write, 1, 0, 32 << 20));
    CHECK(bench.buffers.used_bytes() == 0);
    CHECK(bench.session->payload_room().empty());
    bench.feed("x");
    CHECK(bench.buffers.used_bytes() == 32 << 20);
}

TEST_CASE(
    "session: at most so many requests in flight, the rest waits, all are answered (T3, 25)") {
    Bench bench;
    bench.d.decide = [](const dmcore::Bio&) { return Probe::Answer::keep; };
    std::string many;
    constexpr std::uint64_t count = 1000;
    for (std::uint64_t i = 0; i < count; ++i) many += bench.request(Command::read, i, i * 512, 512);
    std::string rest = many;
    std::size_t answers = 0;
    while (!rest.empty() || bench.session->waits() || !bench.session->idle()) {
        rest.erase(0, bench.feed(rest));
        CHECK(bench.session->in_flight() <= server::limits::requests_in_flight_max);
        if (!rest.empty()) CHECK_FALSE(bench.session->may_read());
        for (auto* each : bench.d.kept) bench.d.finish(*each);
        bench.d.kept.clear();
        answers += bench.output().size() / (16 + 512);
    }
    CHECK(answers == count);
}

TEST_CASE("session: without buffers it reads no further, and goes on when one is free (24)") {
    Bench bench;
    std::byte* all = bench.buffers.take(server::limits::shard_buffer_bytes);
    REQUIRE(all != nullptr);
    bench.feed(bench.request(Command::read, 1, 0, 512));
    CHECK(bench.session->waits());
    CHECK_FALSE(bench.session->may_read());
    CHECK(bench.output().empty());
    bench.buffers.give(all, server::limits::shard_buffer_bytes);
    CHECK(bench.session->may_read());
    bench.feed("");
    CHECK(bench.output().substr(0, 16) == bench.simple(1, 0));
}

TEST_CASE("session: when buffers are tight what is large waits, what is small goes on (23, 24)") {
    Bench bench;
    constexpr std::size_t tight = server::limits::shard_buffer_bytes_tight;
    std::byte* held = bench.buffers.take(tight / 3 * 2);
    std::byte* more = bench.buffers.take(tight / 3 - 4096);
    REQUIRE(more != nullptr);
    CHECK(bench.buffers.tight());
    bench.buffers.give(more, tight / 3 - 4096);
    CHECK_FALSE(bench.buffers.tight());
    CHECK(bench.buffers.fits(server::nbd::payload_bytes_max));
    more = bench.buffers.take(tight / 3);
    bench.feed(bench.request(Command::write, 1, 0, 1 << 20) + "x");
    CHECK_FALSE(bench.session->may_read());
    CHECK_FALSE(bench.session->awaits_payload());  // The client can't help it.
    bench.buffers.give(more, tight / 3);
    CHECK(bench.session->may_read());
    bench.feed(std::string(1 << 20, 'x'));
    CHECK(bench.output() == bench.simple(1, 0));
    more = bench.buffers.take(tight / 3);
    bench.feed(bench.request(Command::write, 2, 0, 4096));
    CHECK(bench.session->awaits_payload());
    bench.feed(std::string(4096, 'x'));
    CHECK_FALSE(bench.session->awaits_payload());
    CHECK(bench.output() == bench.simple(2, 0));
    bench.buffers.give(more, tight / 3);
    bench.buffers.give(held, tight / 3 * 2);
}

TEST_CASE("session: who waits for a device owes nothing, whatever it has asked for (35)") {
    Bench bench;
    bench.d.decide = [](const dmcore::Bio&) { return Probe::Answer::keep; };
    bench.feed(bench.request(Command::write, 1, 0, 512) + std::string(512, 'x') +
               bench.request(Command::read, 2, 0, 512));
    CHECK(bench.session->in_flight() == 2);
    CHECK_FALSE(bench.session->awaits_payload());
    bench.d.finish_kept();
    CHECK(bench.output().size() == 16 + 16 + 512);
}

TEST_CASE(
    "session: a request that is refused is answered in place, its payload thrown away (T6..T9)") {
    Bench bench;
    bench.feed(bench.request(Command::write, 1, (512ULL << 20) - 512, 1024) +
               std::string(1024, 'x') + bench.request(Command::read, 2, 100, 512) +
               bench.request(Command::read, 3, 0, 512));
    const std::string got = bench.output();
    CHECK(got.substr(0, 32) == bench.simple(1, 28) + bench.simple(2, 22));
    CHECK(got.size() == 48 + 512);
    CHECK(bench.d.seen.size() == 1);
}

TEST_CASE("session: nothing waits to be taken behind a DISC") {
    // It once stayed decided: a shard whose client did not read came back to it for ever.
    Bench bench;
    bench.feed(bench.request(Command::read, 1, 0, 4096) +
               bench.request(Command::disconnect, 2, 0, 0));
    CHECK(bench.session->leaving());
    CHECK_FALSE(bench.session->waits());
}

TEST_CASE("session: DISC answers what is in flight and ignores what follows (E2, E4, 32)") {
    Bench bench;
    bench.d.decide = [](const dmcore::Bio&) { return Probe::Answer::keep; };
    bench.feed(bench.request(Command::read, 1, 0, 512) +
               bench.request(Command::disconnect, 9, 5, 5) +
               bench.request(Command::trim, 2, 0, 512) + "junk");
    CHECK(bench.session->leaving());
    CHECK_FALSE(bench.session->idle());
    CHECK_FALSE(bench.session->waits());  // Or its shard would come back to it for ever.
    bench.d.finish_kept();
    CHECK(bench.output().size() == 16 + 512);
    CHECK(bench.session->idle());
    CHECK(bench.d.seen.size() == 1);
}

TEST_CASE("session: draining forgets a request that waits for a bound, and ends") {
    // It once stayed decided, so that the shard came back to it for ever.
    Bench bench;
    std::byte* all = bench.buffers.take(server::limits::shard_buffer_bytes);
    bench.feed(bench.request(Command::read, 1, 0, 512));
    REQUIRE(bench.session->waits());
    bench.session->drain();
    CHECK_FALSE(bench.session->waits());
    CHECK(bench.session->idle());
    bench.buffers.give(all, server::limits::shard_buffer_bytes);
}

TEST_CASE("session: a wrong magic is a fault, and what is in flight is not answered (T13, 19)") {
    Bench bench;
    bench.d.decide = [](const dmcore::Bio&) { return Probe::Answer::keep; };
    bench.feed(bench.request(Command::write, 1, 0, 512) + std::string(512, 'x') +
               std::string(28, '\xff'));
    CHECK_FALSE(bench.session->fault().empty());
    bench.session->die();
    bench.d.finish_kept();
    CHECK(bench.output().empty());
    CHECK(bench.session->idle());
}

TEST_CASE("session: a dead client's write in a store holds its range until it has ended ([O-1])") {
    Bench bench;
    bench.d.decide = [](const dmcore::Bio&) { return Probe::Answer::keep; };
    bench.feed(bench.request(Command::write, 1, 0, 4096) + std::string(4096, 'o'));
    bench.session->die();
    auto again = bench.world.make(dmcore::Op::write, 4, 8, 2);
    bench.world.submit(bench.device, *again);
    bench.world.run();
    CHECK(bench.d.seen.size() == 1);  // The newer write waits.
    bench.d.decide = nullptr;
    bench.d.finish_kept();
    bench.world.run();
    CHECK(again->answers == 1);
    CHECK(bench.d.seen.size() == 2);
}

TEST_CASE("session: a structured client hears what failed and where, labelled as injected") {
    Bench bench(Form::structured);
    bench.device.load(bench.world.build("disk", "0 1048576 flakey d 0 0 180"));
    bench.device.resume([] {});
    bench.world.run();
    bench.feed(bench.request(Command::read, 1, 2048 * 512, 512));
    const std::string got = bench.output();
    CHECK(got.find("injected: flakey down on 'disk' at sector 2048") != std::string::npos);
}

TEST_CASE("session: no heap allocation per request once warm") {
    Bench bench;
    bench.d.seen.reserve(100'000);
    const std::string data(65536, 'x');
    const std::string batch =
        bench.request(Command::write, 1, 0, 65536) + data +
        bench.request(Command::read, 2, 4096, 4096) + bench.request(Command::read, 3, 0, 65536) +
        bench.request(Command::flush, 4, 0, 0) + bench.request(Command::trim, 5, 0, 65536) +
        bench.request(Command::write_zeroes, 6, 0, 65536);
    std::array<iovec, 64> pieces;
    const auto round = [&] {
        bench.session->feed(std::as_bytes(std::span(batch)));
        bench.world.agenda(0).run_all();
        std::size_t bytes = 0;
        const std::size_t count = bench.session->output(pieces);
        for (std::size_t i = 0; i < count; ++i) bytes += pieces[i].iov_len;
        bench.session->sent(bytes);
        REQUIRE(bench.session->idle());
    };
    for (int i = 0; i < 10; ++i) round();
    const std::size_t before = allocation_count();
    for (int i = 0; i < 1000; ++i) round();
    CHECK(allocation_count() == before);
}

TEST_CASE("session: what a store has lent to a reply stays as it was read ([O-8])") {
    Bench bench;
    const std::string old(256 << 10, 'o');
    bench.feed(bench.request(Command::write, 1, 0, 256 << 10) + old);
    bench.output();
    bench.feed(bench.request(Command::read, 2, 4096, 128 << 10));  // In three blocks of the store.
    bench.world.run();
    CHECK(bench.resources.loans.in_use() == 3);
    const std::string now(256 << 10, 'n');
    bench.feed(bench.request(Command::write, 3, 0, 256 << 10) + now);
    CHECK(bench.output() == bench.simple(2, 0) + old.substr(0, 128 << 10) + bench.simple(3, 0));
    CHECK(bench.resources.loans.in_use() == 0);

    bench.feed(bench.request(Command::read, 4, 0, 128 << 10));
    bench.world.run();
    bench.session->die();
    CHECK(bench.resources.loans.in_use() == 0);
    CHECK(bench.buffers.used_bytes() == 0);
}

TEST_CASE("session: what was lent to a part that is read once more is given back ([R-5])") {
    Bench bench;
    Probe& e = bench.world.probe("e", 1 << 20);
    bench.world.probe("f", 1 << 20);
    bench.world.device("low", "0 1024 striped 2 8 e 0 f 0");
    dmcore::DeviceOptions options;
    options.retry = dmcore::default_retry();
    auto& top = bench.world.device("top", "0 1024 linear low 0", options);
    bench.world.io(top, dmcore::Op::write, 0, 64, 'a');
    int failures = 2;
    e.decide = [&](const dmcore::Bio&) {
        return --failures >= 0 ? Probe::Answer::fail : Probe::Answer::good;
    };
    Session session(
        top.lane(0), bench.session->info(), bench.terms, bench.resources, [](void*) noexcept {},
        nullptr);
    const std::string read = bench.request(Command::read, 1, 0, 16 << 10);
    session.feed(std::as_bytes(std::span(read)));
    bench.world.pass(std::chrono::seconds(1));
    CHECK(failures < 0);
    std::array<iovec, 16> pieces;
    std::string got;
    for (std::size_t i = 0, count = session.output(pieces); i < count; ++i) {
        got.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    }
    CHECK(got == bench.simple(1, 0) + std::string(16 << 10, 'a'));
    CHECK(bench.resources.loans.in_use() == 4);
    session.die();
}

TEST_CASE("session: what is written in whole blocks is kept by the store, and reads back as sent") {
    Bench bench;
    std::string data(512 << 10, ' ');
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i / 512 * 7 + i);
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{64 << 10}, std::uint64_t{4096}}) {
        CAPTURE(offset);
        const auto length = static_cast<std::uint32_t>(data.size());
        bench.feed(bench.request(Command::write, 1, offset, length) + data);
        CHECK(bench.output() == bench.simple(1, 0));
        CHECK(bench.buffers.used_bytes() == 0);
        bench.feed(bench.request(Command::write, 2, offset + 8192, 512) + std::string(512, '!'));
        CHECK(bench.output() == bench.simple(2, 0));
        bench.feed(bench.request(Command::read, 3, offset, length));
        std::string expected = data;
        expected.replace(8192, 512, std::string(512, '!'));
        CHECK(bench.output() == bench.simple(3, 0) + expected);
    }
    bench.feed(bench.request(Command::write, 4, 0, 512 << 10) + data.substr(0, 1000));
    CHECK(bench.buffers.used_bytes() == 512 << 10);
    bench.session->die();
    CHECK(bench.buffers.used_bytes() == 0);
}

TEST_CASE("session: no more is read than is soon sent, and it goes on as it is") {
    Bench bench;
    std::string many;
    constexpr std::uint32_t length = 64 << 10;
    constexpr std::size_t count = 40;
    for (std::uint64_t i = 0; i < count; ++i) {
        many += bench.request(Command::read, i, i * length, length);
    }
    std::size_t answers = 0;
    while (answers < count) {
        many.erase(0, bench.feed(many));
        bench.world.run();
        const std::size_t ready = bench.session->in_flight();
        REQUIRE(ready > 0);
        CHECK(ready * length <= server::limits::read_ahead_bytes_max);
        if (ready * length == server::limits::read_ahead_bytes_max)
            CHECK_FALSE(bench.session->may_read());
        CHECK(bench.output().size() == ready * (length + sizeof(SimpleReply)));
        CHECK(bench.session->may_read());
        answers += ready;
    }
    CHECK(answers == count);
}
