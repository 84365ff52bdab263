#include "server/nbd/error.h"

namespace server::nbd {

NbdError error_from(dmcore::Status status) noexcept {
    using dmcore::Status;
    switch (status) {
        case Status::ok: return NbdError::none;
        case Status::no_space: return NbdError::no_space;
        case Status::invalid:
        case Status::not_supported: return NbdError::invalid;
        case Status::not_permitted:
        case Status::read_only: return NbdError::not_permitted;
        case Status::shutdown: return NbdError::shutdown;
        default: return NbdError::io;
    }
}

}  // namespace server::nbd
