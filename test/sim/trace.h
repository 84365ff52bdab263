#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sim {

/// Counts events; a request or a value began "before" another if its number is lower.
using Moment = std::uint32_t;

/// Everything that happens in a run. Part of the trace hash.
enum class What : std::uint8_t {
    seed,
    send,
    answer,
    resend,
    die,
    submit,
    end,
    agenda,
    post,
    timer,
    suspend,
    suspended,
    undo,
    resume,
    swapped,
    crash,
    forget,
    quiet,
    count
};

/// What happened, in order: hashed, and the last of it kept for the report of a violation.
class Trace {
  public:
    Trace(std::uint64_t seed, bool verbose);

    void note(What what, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0) noexcept;
    bool verbose() const noexcept { return verbose_; }
    Moment now() const noexcept { return events_; }
    std::uint64_t hash() const noexcept { return hash_; }

    /// A promise is broken: prints it, the last events and the command that repeats them, and ends
    /// this process.
    [[noreturn]] [[gnu::format(printf, 2, 3)]] void violation(const char* format,
                                                              ...) const noexcept;

  private:
    struct Event {
        What what;
        std::uint64_t a, b, c;
    };
    static void print(Moment when, const Event& event) noexcept;

    std::uint64_t seed_;
    bool verbose_;
    std::uint64_t hash_;
    Moment events_ = 0;
    std::array<Event, 64> last_{};
};

}  // namespace sim
