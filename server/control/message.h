#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "server/event_feed.h"

/// What the control API is asked and answers, without a word about how it travels.
namespace server::control {

struct Request {
    std::string method = "GET";
    std::string path;                          // Decoded, without the query: "/v1/devices".
    std::map<std::string, std::string> query;  // Decoded; "?verbose" has an empty value.
    std::string body{};
    std::string content_type{};  // Of the body, without parameters; in lower case.
    std::string if_match{};      // Header `If-Match`; may be empty.
};

/// Does this method only look?
inline bool looks(const std::string& method) {
    return method == "GET" || method == "HEAD";
}

struct Response {
    unsigned status = 200;
    std::string type = "application/json";
    std::string body{};
    std::string allow{};      // Methods, for status 405.
    std::string etag{};       // Header `ETag`; empty: none.
    std::string challenge{};  // Header `WWW-Authenticate`, for status 401.
    /// Set: the body is what comes from there, until it is over. `body` is empty then.
    std::shared_ptr<EventReader> events{};
};

/// Called from several threads at a time; may wait, and must not throw.
using Handler = std::function<Response(const Request&)>;

/// An error as problem+json (RFC 9457). `slug` is stable, for scripts; `title` says what is wrong,
/// `detail` what to do about it and may be empty.
Response problem(unsigned status, const std::string& slug, const std::string& title,
                 const std::string& detail = {});

}  // namespace server::control
