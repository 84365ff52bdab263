#include <doctest/doctest.h>

#include <string>

#include "config/document.h"
#include "config/load.h"
#include "unit/slow_build.h"

using namespace config;

namespace {

struct Parsed {
    Diagnostics found;
    std::optional<Document> document;

    explicit Parsed(std::string text)
        : document(Document::parse(std::make_shared<Source>("t.yaml", std::move(text)), found)) {}
    const Node& operator[](std::string_view key) const { return *document->root().find(key); }
    std::string slug() const { return found.all().empty() ? "" : found.all().front().slug; }
};

std::string place(const Position& at) {
    return std::to_string(at.line) + ':' + std::to_string(at.column) + '+' +
           std::to_string(at.length);
}

std::string times(std::size_t count, const std::string& text) {
    std::string result;
    for (std::size_t i = 0; i < count; ++i) result += text;
    return result;
}

}  // namespace

TEST_CASE("scalars know where they were written, and how long") {
    const Parsed file(
        "a: word\nb: &anchor \"quo\\ted\"\nc: 'it''s'\nd: |\n  text\ne: !!str x\nf: \xc3\xbc!\n");
    REQUIRE(file.document);
    CHECK(place(file["a"].position) == "1:4+4");
    CHECK(place(file["b"].position) == "2:12+9");
    CHECK(file["b"].style == Node::Style::quoted);
    CHECK(place(file["c"].position) == "3:4+7");
    CHECK(file["c"].text == "it's");
    CHECK(file["d"].style == Node::Style::literal);
    CHECK(place(file["d"].position) == "4:4+1");
    CHECK(place(file["e"].position) == "6:10+1");
    CHECK(place(file["f"].position) == "7:4+3");
    CHECK(place(file.document->root().entries[2].position) == "3:1+1");
}

TEST_CASE("words stay words") {
    // YAML 1.1 would read booleans, octal numbers and sexagesimal ones here.
    const Parsed file("a: on\nb: no\nc: 010\nd: 1:30\ny: 0x10\n253:0: z\n");
    REQUIRE(file.document);
    CHECK(file["a"].text == "on");
    CHECK(file["b"].text == "no");
    CHECK(file["c"].text == "010");
    CHECK(file["d"].text == "1:30");
    CHECK(file["y"].text == "0x10");
    CHECK(file["253:0"].text == "z");
}

TEST_CASE("merges give way to what the map says, and earlier ones win") {
    const Parsed file(
        "x: &x { a: 1, b: 1 }\ny: &y { b: 2, c: 2 }\n"
        "one: { <<: *x, b: 9 }\nmany: { <<: [*x, *y], d: 3 }\nlater: { b: 9, <<: *x }\n"
        "chain: &z { <<: *x, z: 1 }\nof: { <<: *z }\nquoted: { \"<<\": 1 }\n");
    REQUIRE(file.found.ok());
    CHECK(file["one"].find("a")->text == "1");
    CHECK(file["one"].find("b")->text == "9");
    CHECK(file["later"].find("b")->text == "9");
    CHECK(file["many"].find("b")->text == "1");
    CHECK(file["many"].find("c")->text == "2");
    CHECK(file["many"].entries.size() == 4);
    CHECK(file["of"].find("a")->text == "1");
    CHECK(file["quoted"].find("<<")->text == "1");
    CHECK(place(file["one"].find("a")->position) == "1:12+1");  // Where it was written.
}

TEST_CASE("line ends and byte order marks of other systems are fine") {
    Diagnostics found;
    CHECK(load_text("t.yaml", "\xef\xbb\xbfversion: 1\r\nseed: 7\r\n", found)->seed == 7);
}

TEST_CASE("duplicate keys are errors, and the rest is still read") {
    const Parsed file("a: 1\na: 2\nb: { c: 1, c: 2 }\n");
    REQUIRE(file.document);
    CHECK(file.found.errors() == 2);
    CHECK(file["a"].text == "1");
}

TEST_CASE("hostile files are refused before they cost anything") {
    // Abuse case 39. The bound is wide for slow machines; without the limits these take minutes.
    const double started = cpu_seconds();
    CHECK(Parsed("a: " + std::string(100'000, '[')).slug() == "too-deep");
    CHECK(Parsed("a: " + times(100'000, "{a: ")).slug() == "too-deep");
    CHECK(Parsed(times(100'000, "- ")).slug() == "too-deep");
    CHECK(Parsed("a: [" + times(4'000'000, "a,")).slug() == "too-many-nodes");
    CHECK(Parsed(times(1'000'000, "- [a, b\n")).slug() == "too-many-nodes");
    CHECK(Parsed(times(250'000, "- a\n")).slug() == "too-many-nodes");
    CHECK(Parsed("[a\n" + times(4'000'000, ": : ")).slug() == "too-many-nodes");
    CHECK(Parsed("a: \"" + std::string(8'000'000, 'x')).slug() == "yaml-syntax");
    CHECK(Parsed(times(4'000'000, "\n")).slug() == "empty-file");
    CHECK(Parsed("a: \xff\xfe").slug() == "bad-encoding");
    CHECK(Parsed(std::string("a: \0b", 5)).slug() == "bad-encoding");
    CHECK(Parsed("a: \x04").slug() == "bad-encoding");
    CHECK(Parsed("a: \xc2\x9b").slug() == "bad-encoding");
    CHECK(cpu_seconds() - started < 20 * slow_build_factor);
}

TEST_CASE("an alias bomb is counted, never unfolded") {
    std::string bomb = "version: 1\nx-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 60; ++i) {
        const std::string below = "*a" + std::to_string(i - 1);
        bomb += "x-" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + below;
        for (int j = 0; j < 9; ++j) bomb += ", " + below;
        bomb += "]\n";
    }
    CHECK(Parsed(bomb).slug() == "too-many-nodes");

    std::string merges = "version: 1\nx-0: &a0 { k0: 1 }\n";
    for (int i = 1; i < 3000; ++i) {
        const std::string n = std::to_string(i);
        merges +=
            "x-" + n + ": &a" + n + " { <<: *a" + std::to_string(i - 1) + ", k" + n + ": 1 }\n";
    }
    CHECK(Parsed(merges).slug() == "too-many-nodes");
}

TEST_CASE("what stands in the file can't command the terminal") {
    Diagnostics found;
    const std::string esc = "version: 1\nexports: { a: \"\\e[2J\\x9b\" }\n";
    load_text("t.yaml\x1b[2J", esc, found);
    REQUIRE_FALSE(found.ok());
    for (const std::string& text : {found.human(), found.brief(), found.json()}) {
        CHECK(text.find('\x1b') == std::string::npos);
        CHECK(text.find('\x9b') == std::string::npos);
    }
}
