// What libFuzzer calls. Built once for each target: FUZZ_TARGET is its function.
#include <cstddef>

#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return FUZZ_TARGET({data, size});
}
