#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "server/control/message.h"

namespace server::control {

/// Who asks, and from where.
struct Caller {
    std::optional<uid_t> uid;  // Of the peer of a unix socket; TCP: nothing.
    std::string method;
    std::string host;    // Header `Host`, may be empty.
    std::string origin;  // Header `Origin`, which browsers send; may be empty.
};

/// What TCP callers may do.
struct TcpRules {
    std::string own_host;     // The name we are reached by, as the table file says it.
    bool may_change = false;  // Or only look.
};

/// The refusal, or nothing if the caller may ask. Unix: the same user, or root. TCP: as `rules`
/// say, and not from a web page of somebody else: `Host` must be an address, `localhost` or ours,
/// so that no foreign name can be made to point here.
std::optional<Response> refused(const Caller& caller, uid_t own_uid, const TcpRules& rules);

}  // namespace server::control
