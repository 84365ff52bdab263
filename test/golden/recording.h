#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// What a recording says, see README.md beside this.
namespace golden {

using Json = nlohmann::json;
using Sector = std::array<std::byte, 512>;

/// One line of a recording.
struct Event {
    std::size_t line = 0;  // From 1.
    Json json;

    std::string kind() const { return json.at("ev"); }
    std::string device() const { return json.at("dev"); }
};

/// Throws std::runtime_error with the line for what is no recording, or not complete.
std::vector<Event> load(const std::string& path);

/// The pattern that I/O number `io` writes to `sector`; tag '0' writes zeroes.
Sector written(char tag, std::uint32_t io, std::uint64_t sector);
/// What backing device `device` holds there before anything is written.
Sector background(char device, std::uint64_t sector);

/// The sectors that one entry of `data`, or one `layout` line, stands for.
std::vector<Sector> sectors_of(const Json& run);

/// A few words for a person: "A io 2 sector 24", "background of a, sector 7", "all 0".
std::string describe(const Sector& sector);

}  // namespace golden
