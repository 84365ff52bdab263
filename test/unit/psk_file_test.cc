#include <doctest/doctest.h>

#include "server/net/psk_file.h"

using server::parse_psk_file;

namespace {

std::string trouble(const std::string& text) {
    const auto keys = parse_psk_file(text);
    return keys ? "" : keys.error();
}

const std::string key = "0123456789abcdef0123456789ABCDEF";

}  // namespace

TEST_CASE("a file of pre-shared keys is read as psktool writes it") {
    const auto keys = parse_psk_file("alice:" + key + "\n\n# somebody\r\nbob b.:" + key + key);
    REQUIRE(keys.has_value());
    REQUIRE(keys->size() == 2);
    CHECK(keys->at("alice").size() == 16);
    CHECK(keys->at("alice")[1] == 0x23);
    CHECK(keys->at("alice")[15] == 0xef);
    CHECK(keys->at("bob b.").size() == 32);
}

TEST_CASE("a bad line is named, and no key is told") {
    CHECK(trouble("alice:" + key + "\nbob " + key) == "line 2 is not NAME:KEY");
    CHECK(trouble(":" + key) == "line 1 is not NAME:KEY");
    CHECK(trouble("alice:" + key + "0") == "line 1 has a key that is not hexadecimal");
    CHECK(trouble("alice:" + key + "0x") == "line 1 has a key that is not hexadecimal");
    CHECK(trouble("alice: " + key) == "line 1 has a key that is not hexadecimal");
    CHECK(trouble("alice:+1" + key) == "line 1 has a key that is not hexadecimal");
    CHECK(trouble("alice:") == "line 1 has a key of less than 16 bytes");
    CHECK(trouble("alice:" + key + key + key + key + "00") ==
          "line 1 has a key of more than 64 bytes");
    CHECK(trouble(std::string(129, 'a') + ":" + key) == "line 1 has a name of more than 128 bytes");
    CHECK(trouble("a:" + key + "\n\na:" + key) == "line 3 has a name that is there already");
    CHECK(trouble("") == "it has no keys");
    CHECK(trouble("# alice:" + key) == "it has no keys");
}
