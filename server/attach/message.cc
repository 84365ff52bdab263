#include "server/attach/message.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cstring>

namespace server::attach {
namespace {

constexpr std::size_t padded(std::size_t bytes) {
    return (bytes + NLMSG_ALIGNTO - 1) / NLMSG_ALIGNTO * NLMSG_ALIGNTO;
}

/// Headers are in the machine's own order, and of even lengths: but nothing tells of alignment.
template <class T>
T read(std::span<const std::byte> bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

template <class T>
std::optional<T> whole(std::span<const std::byte> bytes) {
    if (bytes.size() != sizeof(T)) return std::nullopt;
    return read<T>(bytes);
}

template <class T>
void append_value(std::vector<std::byte>& to, const T& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    to.insert(to.end(), bytes.begin(), bytes.end());
    to.resize(padded(to.size()));
}

/// The rest behind the first `used` bytes and their padding, which the last may lack.
std::span<const std::byte> behind(std::span<const std::byte> bytes, std::size_t used) {
    return bytes.subspan(std::min(padded(used), bytes.size()));
}

}  // namespace

Message::Message(std::uint16_t family, std::uint8_t command, std::uint8_t version,
                 std::uint32_t sequence) {
    nlmsghdr head{};
    head.nlmsg_type = family;
    head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    head.nlmsg_seq = sequence;
    append_value(bytes_, head);
    genlmsghdr generic{};
    generic.cmd = command;
    generic.version = version;
    append_value(bytes_, generic);
}

void Message::put(std::uint16_t type, std::span<const std::byte> value) {
    const std::size_t opened = open(type);
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    close(opened);
}

void Message::put(std::uint16_t type, std::uint32_t value) {
    put(type, std::as_bytes(std::span(&value, 1)));
}

void Message::put(std::uint16_t type, std::uint64_t value) {
    put(type, std::as_bytes(std::span(&value, 1)));
}

void Message::put(std::uint16_t type, const std::string& value) {
    put(type, std::as_bytes(std::span(value.c_str(), value.size() + 1)));
}

std::size_t Message::open(std::uint16_t type) {
    const std::size_t at = bytes_.size();
    append_value(bytes_, nlattr{.nla_len = 0, .nla_type = type});
    return at;
}

void Message::close(std::size_t opened) {
    const auto bytes = static_cast<std::uint16_t>(bytes_.size() - opened);
    std::memcpy(bytes_.data() + opened + offsetof(nlattr, nla_len), &bytes, sizeof bytes);
    bytes_.resize(padded(bytes_.size()));
}

std::span<const std::byte> Message::bytes() {
    const auto bytes = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &bytes, sizeof bytes);
    return bytes_;
}

std::optional<std::uint32_t> Attribute::u32() const {
    return whole<std::uint32_t>(value);
}

std::optional<std::uint16_t> Attribute::u16() const {
    return whole<std::uint16_t>(value);
}

std::optional<std::uint8_t> Attribute::u8() const {
    return whole<std::uint8_t>(value);
}

std::string Attribute::text() const {
    const std::string_view all(reinterpret_cast<const char*>(value.data()), value.size());
    return std::string(all.substr(0, all.find('\0')));
}

std::optional<std::vector<Attribute>> attributes(std::span<const std::byte> bytes) {
    std::vector<Attribute> all;
    while (!bytes.empty()) {
        if (bytes.size() < sizeof(nlattr)) return std::nullopt;
        const auto head = read<nlattr>(bytes);
        if (head.nla_len < sizeof head || head.nla_len > bytes.size()) return std::nullopt;
        all.push_back({static_cast<std::uint16_t>(head.nla_type & NLA_TYPE_MASK),
                       bytes.subspan(sizeof head, head.nla_len - sizeof head)});
        bytes = behind(bytes, head.nla_len);
    }
    return all;
}

std::optional<Attribute> find(const std::vector<Attribute>& all, std::uint16_t type) {
    const auto found = std::ranges::find(all, type, &Attribute::type);
    if (found == all.end()) return std::nullopt;
    return *found;
}

std::optional<std::vector<Answer>> answers(std::span<const std::byte> datagram) {
    std::vector<Answer> all;
    while (!datagram.empty()) {
        if (datagram.size() < sizeof(nlmsghdr)) return std::nullopt;
        const auto head = read<nlmsghdr>(datagram);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > datagram.size()) return std::nullopt;
        const auto body = datagram.subspan(sizeof head, head.nlmsg_len - sizeof head);
        Answer answer{.type = head.nlmsg_type, .sequence = head.nlmsg_seq, .attributes = {}};
        const bool error = head.nlmsg_type == NLMSG_ERROR;
        if (body.size() < (error ? sizeof(int) : sizeof(genlmsghdr))) return std::nullopt;
        if (error)
            answer.error = -read<int>(body);
        else
            answer.attributes = body.subspan(sizeof(genlmsghdr));
        all.push_back(answer);
        datagram = behind(datagram, head.nlmsg_len);
    }
    return all;
}

}  // namespace server::attach
