#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

/// The fuzz targets. Each takes any bytes whatever, plays them through a part of the program, and
/// ends the process (must()) where a promise is broken. Returns 0. They need no sockets, threads or
/// time, so the same bytes always do the same. One thread at a time.
int fuzz_handshake(std::span<const std::uint8_t> input);
int fuzz_transmission(std::span<const std::uint8_t> input);
int fuzz_table_file(std::span<const std::uint8_t> input);
int fuzz_control(std::span<const std::uint8_t> input);
int fuzz_table(std::span<const std::uint8_t> input);

namespace fuzz {

/// Ends the process, and says why and where, unless `good`: so that whoever runs it, libFuzzer or
/// the unit tests, finds the stack as it was.
inline void must(bool good, const char* what, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
    if (good) return;
    std::fprintf(stderr, "%s:%d: broken: %s\n", file, line, what);
    std::abort();
}

/// For people, where $FUZZ_SHOW is set: what the bytes have become.
inline bool is_shown() {
    static const bool wanted = std::getenv("FUZZ_SHOW") != nullptr;
    return wanted;
}
inline void show(const std::string& what) {
    if (is_shown()) std::fprintf(stderr, "%s\n", what.c_str());
}

}  // namespace fuzz
