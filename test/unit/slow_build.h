#pragma once

#include <ctime>

/// CPU time that this process has spent: what a computation costs, however busy the machine is.
inline double cpu_seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

/// What a time limit is multiplied by: sanitizers, and no optimization of what is tested, make
/// everything slower, and limits are about the build that users run.
#if defined(DMNBD_SLOW_BUILD)
inline constexpr int slow_build_factor = 10;
#else
inline constexpr int slow_build_factor = 1;
#endif
