// Runs dmcore and the NBD session, unmodified, in simulated worlds: one a seed.
//   dm-sim [--seed N] [--seeds COUNT | --ios COUNT | --budget SECONDS] [--verbose]
// Exit 1 and a report with the command that repeats it at the first promise that is broken.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "dmcore/mark.h"
#include "sim/sim.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t repeat_every = 100;  // Seeds: one of them is run twice.
constexpr std::uint32_t requests_per_round = 2000;

struct Options {
    std::uint64_t seed = 1;
    std::uint64_t seeds = UINT64_MAX;
    std::uint64_t ios = UINT64_MAX;
    std::uint64_t budget_seconds = UINT64_MAX;
    bool verbose = false;
};

[[noreturn]] void usage() {
    std::fputs(
        "dm-sim [--seed N] [--seeds COUNT] [--ios COUNT] [--budget SECONDS] [--verbose]\n"
        "Runs seeds from N on, until COUNT seeds, COUNT I/Os of clients or the time is reached.\n",
        stderr);
    std::exit(2);
}

std::uint64_t number(const char* text) {
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') usage();
    return value;
}

Options read(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--verbose") {
            options.verbose = true;
            continue;
        }
        if (i + 1 == argc) usage();
        const std::uint64_t value = number(argv[++i]);
        if (name == "--seed") {
            options.seed = value;
        } else if (name == "--seeds") {
            options.seeds = value;
        } else if (name == "--ios") {
            options.ios = value;
        } else if (name == "--budget") {
            options.budget_seconds = value;
        } else {
            usage();
        }
    }
    const bool bounded = options.seeds != UINT64_MAX || options.ios != UINT64_MAX ||
                         options.budget_seconds != UINT64_MAX;
    if (!bounded) options.seeds = 1;
    return options;
}

sim::Result run(std::uint64_t seed, bool verbose) {
    return sim::Sim(seed, verbose).run(requests_per_round);
}

void print_marks() {
    unsigned reached = 0;
    std::string missed;
    for (std::size_t i = 0; i < dmcore::mark_count; ++i) {
        if (dmcore::marks_reached[i]) {
            ++reached;
        } else {
            missed += ' ' + std::string(dmcore::name_of(static_cast<dmcore::Mark>(i)));
        }
    }
    std::printf("sim: %u of %zu rare branches reached%s%s\n", reached, dmcore::mark_count,
                missed.empty() ? "" : "; not:", missed.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = read(argc, argv);
    const auto began = Clock::now();
    const auto seconds = [&] {
        return std::chrono::duration<double>(Clock::now() - began).count();
    };
    std::uint64_t seeds = 0;
    sim::Result sum;
    while (seeds < options.seeds && sum.requests < options.ios &&
           seconds() < static_cast<double>(options.budget_seconds)) {
        const std::uint64_t seed = options.seed + seeds;
        const sim::Result one = run(seed, options.verbose);
        if (seed % repeat_every == 0 && run(seed, false).hash != one.hash) {
            std::fprintf(stderr, "sim: seed %" PRIu64 " does not repeat itself\n", seed);
            return 1;
        }
        ++seeds;
        sum.requests += one.requests;
        sum.ios += one.ios;
    }
    print_marks();
    std::printf("sim: seeds %" PRIu64 "..%" PRIu64 ": %" PRIu64 " I/Os of clients, %" PRIu64
                " at disks, no violation, %.0f s\n",
                options.seed, options.seed + seeds - 1, sum.requests, sum.ios, seconds());
    return 0;
}
