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
    std::string host;             // Header `Host`, may be empty.
    std::string origin;           // Header `Origin`, which browsers send; may be empty.
    std::string authorization{};  // Header of that name; may be empty.
};

/// What TCP callers may do.
struct TcpRules {
    std::string own_host;      // The name we are reached by, as the table file says it.
    bool may_change = false;   // Or only look.
    std::string token_path{};  // A file that holds what those who change things must know.
};

/// The refusal, or nothing if the caller may ask. Unix: the same user, or root. TCP: as `rules`
/// say, and not from a web page of somebody else: `Host` must be an address, `localhost` or ours,
/// so that no foreign name can be made to point here. Reads the token's file.
std::optional<Response> refused(const Caller& caller, uid_t own_uid, const TcpRules& rules);

/// What a token's file holds: its first line, of at least 16 characters without blanks. Throws
/// std::runtime_error, which names the file.
std::string read_token(const std::string& path);

}  // namespace server::control
