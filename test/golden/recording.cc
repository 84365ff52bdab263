#include "golden/recording.h"

#include <cstring>
#include <fstream>
#include <stdexcept>

namespace golden {
namespace {

constexpr std::uint32_t background_io = 0xffffffff;
constexpr std::size_t record_bytes = 16;
constexpr std::size_t tag_at = 12;

template <class Number>
void put_le(std::byte* to, Number number) {
    for (std::size_t i = 0; i < sizeof number; ++i) to[i] = std::byte(number >> (8 * i) & 0xff);
}

template <class Number>
Number get_le(const std::byte* from) {
    Number number = 0;
    for (std::size_t i = sizeof number; i-- > 0;) {
        number = static_cast<Number>(number << 8 | std::to_integer<Number>(from[i]));
    }
    return number;
}

Sector pattern(std::uint64_t source, std::uint32_t io, char tag) {
    Sector sector;
    for (std::size_t at = 0; at < sector.size(); at += record_bytes) {
        std::byte* record = sector.data() + at;
        put_le(record, source);
        put_le(record + 8, io);
        record[tag_at] = std::byte(tag);
        record[tag_at + 1] = std::byte(at / record_bytes);
        record[tag_at + 2] = std::byte{0x5a};
        record[tag_at + 3] = std::byte{0xa5};
    }
    return sector;
}

Sector filled(std::uint8_t value) {
    Sector sector;
    sector.fill(std::byte{value});
    return sector;
}

Sector from_hex(const std::string& hex) {
    Sector sector;
    for (std::size_t i = 0; i < sector.size(); ++i) {
        sector[i] = std::byte(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
    }
    return sector;
}

}  // namespace

std::vector<Event> load(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error(path + ": can't be read");
    std::vector<Event> events;
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        try {
            events.push_back({number, Json::parse(line)});
            events.back().kind();
        } catch (const Json::exception& error) {
            throw std::runtime_error(path + ":" + std::to_string(number) + ": " + error.what());
        }
    }
    if (events.empty() || events.back().kind() != "end") {
        throw std::runtime_error(path +
                                 ": does not end with an end: the recording is not complete");
    }
    return events;
}

Sector written(char tag, std::uint32_t io, std::uint64_t sector) {
    return tag == '0' ? filled(0) : pattern(sector, io, tag);
}

Sector background(char device, std::uint64_t sector) {
    return pattern(sector, background_io, device);
}

std::vector<Sector> sectors_of(const Json& run) {
    const std::uint64_t count = run.at("n");
    if (run.contains("fill")) return {count, filled(run.at("fill"))};
    if (run.contains("raw")) return {count, from_hex(run.at("raw"))};
    std::vector<Sector> sectors;
    const std::uint64_t source = run.at("src");
    const char tag = run.at("tag").get<std::string>().at(0);
    for (std::uint64_t i = 0; i < count; ++i) {
        const bool blank = run.at("io").is_null();
        sectors.push_back(blank ? background(tag, source + i)
                                : written(tag, run.at("io"), source + i));
        for (const Json& byte : run.value("diff", Json::array())) {
            sectors.back().at(byte.at(0).get<std::size_t>()) = std::byte(byte.at(1).get<int>());
        }
    }
    return sectors;
}

std::string describe(const Sector& sector) {
    if (sector == filled(std::to_integer<std::uint8_t>(sector[0]))) {
        return "all " + std::to_string(std::to_integer<int>(sector[0]));
    }
    const auto source = get_le<std::uint64_t>(sector.data());
    const auto io = get_le<std::uint32_t>(sector.data() + 8);
    const char tag = static_cast<char>(sector[tag_at]);
    const Sector clean = pattern(source, io, tag);
    std::string text = io == background_io
                           ? std::string("background of ") + tag + ", sector "
                           : std::string(1, tag) + " io " + std::to_string(io) + " sector ";
    text += std::to_string(source);
    if (sector == clean) return text;
    for (std::size_t i = 0; i < sector.size(); ++i) {
        if (sector[i] == clean[i]) continue;
        return text + " but for byte " + std::to_string(i) + " = " +
               std::to_string(std::to_integer<int>(sector[i]));
    }
    return text;
}

}  // namespace golden
