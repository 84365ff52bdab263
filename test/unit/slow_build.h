#pragma once

/// What a time limit is multiplied by: sanitizers, and no optimization, make everything slower, and
/// limits are about the build that users run.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
inline constexpr int slow_build_factor = 10;
#else
inline constexpr int slow_build_factor = 1;
#endif
