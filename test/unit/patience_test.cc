// Why: who looks instead of sleeping takes a core from others. It must pay, and end when it does
// not.
#include "server/net/patience.h"

#include <doctest/doctest.h>

namespace {

using namespace std::chrono_literals;
namespace limits = server::limits;

server::Patience after(unsigned waits, dmcore::Time each) {
    server::Patience patience;
    for (unsigned i = 0; i < waits; ++i) patience.waited(each);
    return patience;
}

}  // namespace

TEST_CASE("patience: it takes several short waits in a row") {
    CHECK_FALSE(server::Patience().spins());
    CHECK_FALSE(after(limits::short_waits_to_spin - 1, 10us).spins());
    CHECK(after(limits::short_waits_to_spin, 10us).spins());
    CHECK(after(1000, 10us).spins());
}

TEST_CASE("patience: one long wait ends it, and all has to begin anew") {
    server::Patience patience = after(1000, 10us);
    patience.waited(limits::spin_time);
    CHECK_FALSE(patience.spins());
    patience.waited(10us);
    CHECK_FALSE(patience.spins());
}

TEST_CASE("patience: a client that asks less often is never waited for") {
    CHECK_FALSE(after(1000, 60us).spins());
}
