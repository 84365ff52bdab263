#include <doctest/doctest.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>

#include <cstring>

#include "server/attach/driver.h"
#include "server/attach/message.h"

using namespace server::attach;

namespace {

std::string raw(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

/// Numbers as this machine has them in memory.
template <class T>
std::string number(T value) {
    return raw(std::as_bytes(std::span(&value, 1)));
}
std::string u16(std::uint16_t value) {
    return number(value);
}
std::string u32(std::uint32_t value) {
    return number(value);
}

constexpr std::size_t heads_bytes = sizeof(nlmsghdr) + sizeof(genlmsghdr);

std::vector<Attribute> attributes_of(Message& message) {
    const auto all = attributes(message.bytes().subspan(heads_bytes));
    REQUIRE(all.has_value());
    return *all;
}

std::string acknowledgement(int error, std::uint32_t sequence = 1) {
    const std::string body = number(-error) + std::string(sizeof(nlmsghdr), '\0');
    return u32(static_cast<std::uint32_t>(sizeof(nlmsghdr) + body.size())) + u16(NLMSG_ERROR) +
           u16(0) + u32(sequence) + u32(0) + body;
}

}  // namespace

TEST_CASE("a netlink message is, byte by byte, what the kernel's headers say") {
    Message message(0x1c, NBD_CMD_STATUS, 1, 7);
    message.put(NBD_ATTR_INDEX, std::uint32_t{5});
    message.put(NBD_ATTR_BACKEND_IDENTIFIER, std::string("disk"));
    const std::string attributes = u16(8) + u16(NBD_ATTR_INDEX) + u32(5) + u16(9) +
                                   u16(NBD_ATTR_BACKEND_IDENTIFIER) +
                                   std::string("disk\0\0\0\0", 8);
    CHECK(raw(message.bytes()) == u32(static_cast<std::uint32_t>(20 + attributes.size())) +
                                      u16(0x1c) + u16(NLM_F_REQUEST | NLM_F_ACK) + u32(7) + u32(0) +
                                      std::string("\x05\x01\0\0", 4) + attributes);
}

TEST_CASE("sockets lie in items of a list") {
    Setup setup;
    setup.size_bytes = std::uint64_t{1} << 40;
    setup.sockets = {11, 12};
    Message message = message_of(0x1c, NBD_CMD_CONNECT, 3, setup, 1);
    const auto all = attributes_of(message);
    REQUIRE(all.size() == 3);
    CHECK(find(all, NBD_ATTR_INDEX)->u32() == 3);
    CHECK(raw(find(all, NBD_ATTR_SIZE_BYTES)->value) == number(std::uint64_t{1} << 40));
    const auto items = attributes(find(all, NBD_ATTR_SOCKETS)->value);
    REQUIRE(items->size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK((*items)[i].type == NBD_SOCK_ITEM);
        const auto fields = attributes((*items)[i].value);
        CHECK(find(*fields, NBD_SOCK_FD)->u32() == 11 + i);
    }
}

TEST_CASE("what is not given is not said") {
    Message message = message_of(0x1c, NBD_CMD_RECONFIGURE, 0, {.backend = "x", .sockets = {}}, 1);
    const auto all = attributes_of(message);
    REQUIRE(all.size() == 2);
    CHECK(all[1].type == NBD_ATTR_BACKEND_IDENTIFIER);
    CHECK(all[1].text() == "x");
    CHECK_FALSE(all[1].u32().has_value());
}

TEST_CASE("attributes whose lengths don't fit are refused") {
    const std::string good = u16(5) + u16(1) + "x";  // The last may lack its padding.
    CHECK(attributes(bytes_of(good))->size() == 1);
    for (const std::string& bad : {u16(3) + u16(1), u16(6) + u16(1) + "x", std::string("abc"),
                                   u16(0) + u16(0), good + std::string(3, '\0') + "y"}) {
        CHECK_FALSE(attributes(bytes_of(bad)).has_value());
    }
}

TEST_CASE("answers: an errno, and attributes") {
    const std::string answer = u32(28) + u16(0x1c) + u16(0) + u32(9) + u32(0) +
                               std::string("\x05\x01\0\0", 4) + u16(8) + u16(2) + u32(77);
    const std::string datagram = answer + acknowledgement(EBUSY, 9);
    const auto all = answers(bytes_of(datagram));
    REQUIRE(all->size() == 2);
    CHECK((*all)[0].type == 0x1c);
    CHECK((*all)[0].sequence == 9);
    CHECK(find(*attributes((*all)[0].attributes), 2)->u32() == 77);
    CHECK((*all)[1].type == NLMSG_ERROR);
    CHECK((*all)[1].error == EBUSY);
}

TEST_CASE("answers that are cut anywhere are refused") {
    const std::string whole = acknowledgement(0);
    CHECK(answers(bytes_of(whole))->front().error == 0);
    for (std::size_t i = 1; i < whole.size(); ++i) {
        const std::string cut = whole.substr(0, i);
        CHECK_FALSE(answers(bytes_of(cut)).has_value());
    }
}
