#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "server/nbd/limits.h"
#include "unit/nbd_client.h"

// The handshake under input that is cut, mixed and random.
using namespace nbd_test;

namespace {

/// One of each option, up to GO.
std::string full_handshake() {
    return u32(3) + option(Option::starttls) + option(0x7777, std::string(300, 'x')) +
           option(Option::list) + option(Option::structured_reply) +
           option(Option::set_meta_context, meta_data("disk", {"base:allocation"})) +
           option(Option::info, info_data("nobody", {1, 2, 3})) +
           option(Option::go, info_data("disk", {1, 2, 3}));
}

/// Feeds `input` in pieces of the given size; returns all the server said.
Bytes feed_in_pieces(Handshake& handshake, std::string_view input, std::size_t piece_bytes) {
    Bytes said;
    const auto in = std::as_bytes(std::span(input));
    for (std::size_t at = 0; at < in.size(); at += piece_bytes) {
        handshake.feed(in.subspan(at, std::min(piece_bytes, in.size() - at)), said);
    }
    return said;
}

}  // namespace

TEST_CASE("H20: however the input is cut, the handshake says the same") {
    // TCP keeps no message borders. One byte at a time, a few, and all at once.
    const Exports exports = two_exports();
    Handshake whole(exports);
    const std::string input = full_handshake();
    const Bytes expected = feed_in_pieces(whole, input, input.size());
    REQUIRE(whole.state() == Handshake::State::transmission);
    for (const std::size_t piece_bytes : {1U, 2U, 3U, 7U, 15U, 16U, 17U, 64U}) {
        Handshake handshake(exports);
        CHECK(feed_in_pieces(handshake, input, piece_bytes) == expected);
        CHECK(handshake.state() == Handshake::State::transmission);
        CHECK(handshake.terms().form == Form::structured);
    }
}

TEST_CASE("abuse 4: every prefix of a full handshake leaves it waiting, and holds no export") {
    // A client may vanish after any byte.
    const Exports exports = two_exports();
    const std::string input = full_handshake();
    for (std::size_t bytes = 0; bytes < input.size(); ++bytes) {
        {
            Handshake handshake(exports);
            Bytes out;
            const auto in = std::as_bytes(std::span(input)).first(bytes);
            REQUIRE(handshake.feed(in, out) == bytes);
            REQUIRE(handshake.state() == Handshake::State::negotiating);
        }
        REQUIRE(exports.infos[0].use_count() == 1);
    }
}

TEST_CASE("abuse 15: options in every order of four get one final reply each") {
    // State carried from one option to the next is where assertions were reached.
    const Exports exports = two_exports();
    const std::vector<std::string> options = {
        option(Option::list),
        option(Option::structured_reply),
        option(Option::starttls),
        option(Option::set_meta_context, meta_data("disk", {"base:allocation"})),
        option(Option::list_meta_context, meta_data("rom", {})),
        option(Option::info, info_data("rom")),
        option(Option::go, info_data("nobody")),
        option(0x7777, "data"),
    };
    const std::size_t count = options.size();
    for (std::size_t order = 0; order < count * count * count * count; ++order) {
        Client client(exports);
        std::string input;
        for (std::size_t i = 0, rest = order; i < 4; ++i, rest /= count) {
            input += options[rest % count];
        }
        client.send(input + option(Option::go, info_data("disk")));
        REQUIRE(client.in_transmission());
        const auto replies = client.replies();
        const auto finals = std::ranges::count_if(replies, [](const Reply& reply) {
            return reply.type == OptionReply::ack || reply.is_error();
        });
        REQUIRE(finals == 5);
    }
}

TEST_CASE("abuse 6: random bytes never crash the handshake nor make it talk much") {
    // Pure noise dies at the magic; so most inputs are valid messages with some bytes changed.
    const Exports exports = two_exports();
    std::mt19937_64 random(20240607);
    const std::string model = full_handshake();
    std::size_t survivors = 0;
    for (int round = 0; round < 100'000; ++round) {
        std::string input = model;
        if (round % 4 == 0) {
            input.resize(random() % 200);
            for (char& byte : input) byte = static_cast<char>(random());
        }
        for (auto changes = random() % 4; changes > 0 && !input.empty(); --changes) {
            input[random() % input.size()] = static_cast<char>(random());
        }
        Handshake handshake(exports);
        Bytes out;
        const std::size_t taken = handshake.feed(std::as_bytes(std::span(input)), out);
        REQUIRE(taken <= input.size());
        REQUIRE(out.size() < 4096);
        if (handshake.state() == Handshake::State::negotiating) REQUIRE(taken == input.size());
        const bool granted = handshake.granted_export() != nullptr;
        REQUIRE(granted == (handshake.state() == Handshake::State::transmission));
        survivors += granted;
    }
    CHECK(survivors > 1000);
}
