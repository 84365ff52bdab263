#include "dmcore/retry.h"

namespace dmcore {

RetryPolicy default_retry() noexcept {
    RetryPolicy policy;
    for (const Status status :
         {Status::io_error, Status::no_space, Status::again, Status::interrupted, Status::no_memory,
          Status::timed_out, Status::no_data, Status::bad_checksum, Status::no_link,
          Status::remote_io, Status::disconnected}) {
        policy.errors.add(status);
    }
    return policy;
}

RetryPolicy transient_retry() noexcept {
    RetryPolicy policy;
    for (const Status status :
         {Status::again, Status::interrupted, Status::no_memory, Status::disconnected}) {
        policy.errors.add(status);
    }
    return policy;
}

RetryPolicy no_retry() noexcept {
    return RetryPolicy{};
}

}  // namespace dmcore
