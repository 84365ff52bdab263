#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Generic netlink messages, as bytes: <linux/netlink.h>, <linux/genetlink.h>.
namespace server::attach {

/// A message that is being written. Attributes are put in order; those put between open() and its
/// close() lie in that one.
class Message {
  public:
    /// Of `family`, to be acknowledged by a message that bears `sequence`, too.
    Message(std::uint16_t family, std::uint8_t command, std::uint8_t version,
            std::uint32_t sequence);

    void put(std::uint16_t type, std::uint32_t value);
    void put(std::uint16_t type, std::uint64_t value);
    void put(std::uint16_t type, const std::string& value);
    std::size_t open(std::uint16_t type);
    void close(std::size_t opened);

    /// The whole message, complete at any time.
    std::span<const std::byte> bytes();

  private:
    void put(std::uint16_t type, std::span<const std::byte> value);

    std::vector<std::byte> bytes_;
};

struct Attribute {
    std::uint16_t type = 0;  // Without flags.
    std::span<const std::byte> value;

    /// Nothing if the value is not of this size.
    std::optional<std::uint32_t> u32() const;
    std::optional<std::uint16_t> u16() const;
    std::optional<std::uint8_t> u8() const;
    /// Up to the first NUL, or all of it.
    std::string text() const;
};

/// The attributes that follow each other in `bytes`. Nothing: a length does not fit.
std::optional<std::vector<Attribute>> attributes(std::span<const std::byte> bytes);

/// The first of that type; nothing if there is none.
std::optional<Attribute> find(const std::vector<Attribute>& all, std::uint16_t type);

/// One answer of the kernel.
struct Answer {
    std::uint16_t type = 0;  // NLMSG_ERROR, or a family.
    std::uint32_t sequence = 0;
    int error = 0;                          // Of NLMSG_ERROR: an errno; 0: done.
    std::span<const std::byte> attributes;  // Of a family's message.
};

/// The messages of one datagram; views into it. Nothing: a length does not fit.
std::optional<std::vector<Answer>> answers(std::span<const std::byte> datagram);

}  // namespace server::attach
