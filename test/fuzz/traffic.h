#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "server/nbd/request.h"

namespace fuzz {

/// What a client sends in transmission, and what happens meanwhile.
struct Traffic {
    enum class Kind : std::uint8_t {
        cut,      // What was sent but so many bytes arrives, and is worked off.
        send,     // So many bytes of what there is to send are taken by the socket.
        keep,     // From now on stores keep what they get...
        fail,     // ...or fail it...
        requeue,  // ...or ask for it to be run again...
        good,     // ...or do it at once.
        finish,   // One of those that were kept ends.
        suspend,  // The device is; noflush if odd.
        resume,   // With a new table if odd.
        hog,      // Somebody else has all buffers...
        unhog,    // ...and gives them back.
        pass,     // So many milliseconds.
        drain,    // See Session.
        shut_down,
        die,
    };
    struct Event {
        std::size_t at;  // After so many bytes of the stream.
        Kind kind;
        std::uint64_t value;
    };

    server::nbd::Form form{};
    bool read_only = false;
    bool strict = false;  // Nothing but cuts and sends: then all that is read is known.
    unsigned table = 0;   // Of traffic_tables.
    std::string stream;
    std::vector<Event> events;  // In the order in which they happen.
};

/// Of the device that is served. All have the same size; `d` and `e` are stores.
inline constexpr std::uint64_t traffic_sectors = 8192;
inline constexpr const char* traffic_tables[] = {
    "0 8192 linear d 0",
    R"(0 2048 linear d 0
2048 1024 zero
3072 1024 error
4096 2048 striped 2 8 d 4096 e 0
6144 2048 linear d 2048)",
    R"(0 4032 striped 3 24 d 0 e 0 d 4096
4032 4160 linear e 4032)",
};

/// The most data of one request that is offered.
inline constexpr std::uint32_t traffic_payload_bytes_max = 1 << 20;

Traffic write_traffic(Input& input);

}  // namespace fuzz
