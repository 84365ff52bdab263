#include "fuzz/traffic.h"

#include <limits>

#include "unit/nbd_client.h"

namespace fuzz {
namespace {

using namespace server::nbd;

constexpr std::size_t stream_bytes_max = 4 << 20;
constexpr std::size_t events_max = 400;

Command command(Input& input) {
    constexpr Command all[] = {Command::read,         Command::write,        Command::flush,
                               Command::trim,         Command::cache,        Command::write_zeroes,
                               Command::block_status, Command::block_status, Command::read,
                               Command::write,        Command::write,        Command::read};
    const std::uint8_t rare = input.byte();
    if (rare == 255) return static_cast<Command>(input.number(2));
    if (rare == 254) return Command::disconnect;
    return all[rare % std::size(all)];
}

std::uint16_t flags(Input& input) {
    constexpr std::uint16_t all[] = {0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 3, 18};
    const std::uint8_t rare = input.byte();
    if (rare == 255) return static_cast<std::uint16_t>(input.number(2));
    return all[rare % std::size(all)];
}

std::uint64_t offset_bytes(Input& input) {
    const std::uint8_t rare = input.byte();
    if (rare == 255) return input.edge();
    if (rare == 254) return (traffic_sectors - input.below(4)) * 512;
    return input.below(rare % 2 == 0 ? 64 : traffic_sectors) * 512;
}

std::uint64_t length_bytes(Input& input) {
    const std::uint8_t rare = input.byte();
    if (rare == 255) return input.edge();
    if (rare >= 252) return input.below(4097) * 512;
    if (rare >= 240) return (1 + input.below(256)) * 512;
    return (1 + rare % 16) * 512;
}

template <class Header, class Length>
std::string header(Input& input, std::uint32_t magic, Command& type, std::uint64_t& length) {
    Header made;
    type = command(input);
    length = length_bytes(input);
    length &= std::numeric_limits<Length>::max();
    std::uint16_t all = flags(input);
    if (sizeof(Length) == 8 && type == Command::write) all ^= command_flag_payload_length;
    made.magic = magic;
    made.flags = all;
    made.type = static_cast<std::uint16_t>(type);
    made.offset_bytes = offset_bytes(input);
    made.length_bytes = static_cast<Length>(length);
    return nbd_test::raw(made);
}

/// A request with the data that it needs, whose first byte counts: see read_requests().
std::string request(Input& input, Form form) {
    Command type{};
    std::uint64_t length = 0;
    std::string bytes = form == Form::extended ? header<ExtendedRequestHeader, std::uint64_t>(
                                                     input, extended_request_magic, type, length)
                                               : header<RequestHeader, std::uint32_t>(
                                                     input, request_magic, type, length);
    if (type == Command::write && length <= 2 * traffic_payload_bytes_max) {
        bytes.append(static_cast<std::size_t>(length), static_cast<char>(input.byte()));
    }
    return bytes;
}

Traffic::Event event(Input& input, const Traffic& traffic) {
    using Kind = Traffic::Kind;
    constexpr Kind all[] = {Kind::cut,  Kind::send,   Kind::keep,   Kind::fail,    Kind::requeue,
                            Kind::good, Kind::finish, Kind::finish, Kind::suspend, Kind::resume,
                            Kind::hog,  Kind::unhog,  Kind::pass,   Kind::cut,     Kind::send};
    constexpr Kind ends[] = {Kind::drain, Kind::shut_down, Kind::die};
    Kind kind = Kind::cut;
    const std::uint8_t rare = input.byte();
    if (traffic.strict) {
        if (rare % 2 == 1) kind = Kind::send;
    } else {
        kind = rare >= 253 ? ends[rare - 253] : all[rare % std::size(all)];
    }
    const std::uint64_t value = input.number(2);
    const std::size_t last_at = traffic.events.empty() ? 0 : traffic.events.back().at;
    const std::size_t size = traffic.stream.size();
    const std::size_t back = kind == Kind::cut ? std::min<std::size_t>(value, size) : 0;
    return {std::max(last_at, size - back), kind, value};
}

}  // namespace

Traffic write_traffic(Input& input) {
    Traffic traffic;
    traffic.form = static_cast<Form>(input.below(3));
    const std::uint8_t setup = input.byte();
    traffic.strict = setup % 2 == 0;
    traffic.read_only = setup >= 250;
    traffic.table = static_cast<unsigned>(setup / 2 % std::size(traffic_tables));
    while (!input.empty() && traffic.stream.size() < stream_bytes_max) {
        const std::uint8_t kind = input.byte();
        if (kind == 255) {
            traffic.stream += input.text();
        } else if (kind >= 128 && traffic.events.size() < events_max) {
            traffic.events.push_back(event(input, traffic));
        } else {
            traffic.stream += request(input, traffic.form);
        }
    }
    traffic.events.push_back({traffic.stream.size(), Traffic::Kind::cut, 0});
    return traffic;
}

}  // namespace fuzz
