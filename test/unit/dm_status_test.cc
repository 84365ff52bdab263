// Why: policies, logs and replies name errors, and a store passes on what the host says (0.3).
#include <doctest/doctest.h>

#include <cerrno>

#include "dmcore/status.h"

using namespace dmcore;

TEST_CASE("every way in which an I/O may end has a name of its own that leads back to it (0.3)") {
    for (unsigned i = 0; i <= static_cast<unsigned>(Status::requeue); ++i) {
        const auto status = static_cast<Status>(i);
        CAPTURE(i);
        CHECK_FALSE(name_of(status).empty());
        CHECK_FALSE(text_of(status).empty());
        // No I/O of a client fails with these.
        const bool inside = status == Status::ok || status == Status::requeue;
        CHECK(status_named(name_of(status)) == (inside ? std::nullopt : std::optional(status)));
    }
    CHECK(status_named("EIO") == Status::io_error);
    CHECK(status_named("disconnect") == Status::disconnected);
    CHECK_FALSE(status_named("eio"));
    CHECK_FALSE(status_named(""));
}

TEST_CASE("an errno of the host keeps its meaning, one without a status of its own is EIO (0.3)") {
    CHECK(status_from_errno(EIO) == Status::io_error);
    CHECK(status_from_errno(ENOSPC) == Status::no_space);
    CHECK(status_from_errno(EDQUOT) == Status::no_space);
    CHECK(status_from_errno(EFBIG) == Status::no_space);
    CHECK(status_from_errno(EACCES) == Status::not_permitted);
    CHECK(status_from_errno(EPERM) == Status::not_permitted);
    CHECK(status_from_errno(EREMOTEIO) == Status::remote_io);
    CHECK(status_from_errno(ENOTCONN) == Status::disconnected);
    CHECK(status_from_errno(EBADF) == Status::io_error);
    CHECK(status_from_errno(0) == Status::io_error);  // Asked for after a failure that set none.
}
