#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#if defined(__SANITIZE_THREAD__)
/// An exception that goes from thread to thread is counted by atomics inside libstdc++, which is
/// not instrumented: the thread sanitizer sees whoever frees it, but not that the others are done.
extern "C" const char* __tsan_default_suppressions() {
    return "race:std::__exception_ptr::exception_ptr::_M_release\n";
}
#endif
