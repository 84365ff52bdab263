#include "server/control/http.h"

#include <microhttpd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <mutex>

#include "dmcore/target.h"
#include "server/control/access.h"
#include "server/control/calls.h"
#include "server/control/crowd.h"
#include "server/control/http_events.h"
#include "server/control/limits.h"
#include "server/control/routes.h"
#include "server/net/sockets.h"

namespace server::control {
namespace {

/// A request on its way in. MHD calls again and again with the same one.
struct Incoming {
    Thread thread;
    std::size_t body_bytes_max;
    std::string body{};
    std::optional<Response> answer{};  // Of a call on a thread of its own, once it is done.
};

std::string header(MHD_Connection* connection, const char* name) {
    const char* value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    return value == nullptr ? std::string() : value;
}

MHD_Result add_query(void* to, MHD_ValueKind, const char* key, const char* value) {
    auto& query = *static_cast<std::map<std::string, std::string>*>(to);
    query[key] = value == nullptr ? "" : value;
    return MHD_YES;
}

std::optional<uid_t> peer_of(MHD_Connection* connection) {
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return {};
    return peer.uid;
}

/// `response` may be null: no memory.
MHD_Result send(MHD_Connection* connection, const Response& answer, MHD_Response* response) {
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", answer.type.c_str());
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (!answer.allow.empty()) MHD_add_response_header(response, "Allow", answer.allow.c_str());
    if (!answer.etag.empty()) MHD_add_response_header(response, "ETag", answer.etag.c_str());
    if (!answer.challenge.empty()) {
        MHD_add_response_header(response, "WWW-Authenticate", answer.challenge.c_str());
    }
    const MHD_Result queued = MHD_queue_response(connection, answer.status, response);
    MHD_destroy_response(response);
    return queued;
}

MHD_Result send(MHD_Connection* connection, const Response& answer) {
    // MHD copies and does not alter the body.
    return send(
        connection, answer,
        MHD_create_response_from_buffer(answer.body.size(), const_cast<char*>(answer.body.data()),
                                        MHD_RESPMEM_MUST_COPY));
}

Crowd::Member& member_of(MHD_Connection* connection) {
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return *static_cast<Crowd::Member*>(info->socket_context);
}

/// "Application/JSON; charset=utf-8" is application/json.
std::string content_type(MHD_Connection* connection) {
    std::string type = dmcore::lower_case(header(connection, MHD_HTTP_HEADER_CONTENT_TYPE));
    type.erase(std::min(type.find(';'), type.size()));
    type.erase(type.find_last_not_of(" \t") + 1);
    return type;
}

bool body_too_long(MHD_Connection* connection, std::size_t bytes_max) {
    const std::string length = header(connection, "Content-Length");
    std::size_t bytes = 0;
    const auto end = length.data() + length.size();
    const auto read = std::from_chars(length.data(), end, bytes);
    return !length.empty() && (read.ec != std::errc() || bytes > bytes_max);
}

}  // namespace

/// One listening socket and the threads that serve it.
class ControlServer::Listener {
  public:
    /// `path` is the socket's file, to be removed; empty for TCP, for which `rules` are.
    Listener(const Handler& handler, Socket socket, std::string path, TcpRules rules);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    /// For TCP, from the next request on. Any thread.
    void set_rules(TcpRules rules) {
        const std::lock_guard lock(rules_mutex_);
        rules_ = std::move(rules);
    }

  private:
    TcpRules rules() const {
        const std::lock_guard lock(rules_mutex_);
        return rules_;
    }
    static MHD_Result called(void* self, MHD_Connection* connection, const char* url,
                             const char* method, const char* version, const char* data,
                             std::size_t* data_bytes, void** incoming) noexcept;
    static void completed(void* self, MHD_Connection* connection, void** incoming,
                          MHD_RequestTerminationCode);
    static void connected(void* self, MHD_Connection* connection, void** member,
                          MHD_ConnectionNotificationCode what);

    MHD_Result begin(MHD_Connection* connection, const char* url, const char* method,
                     void** incoming) const;
    MHD_Result finish(MHD_Connection* connection, const char* url, const char* method,
                      Incoming& incoming);
    MHD_Result call(MHD_Connection* connection, Request request, Incoming& incoming);

    const Handler& handler_;
    std::string path_;
    mutable std::mutex rules_mutex_;
    TcpRules rules_;
    struct stat file_ {};
    MHD_Daemon* daemon_ = nullptr;
    Crowd crowd_{limits::crowd_max};
    EventBodies events_;
    CallThreads changes_{limits::changes_max};
    CallThreads waits_{limits::waits_max};
};

ControlServer::Listener::Listener(const Handler& handler, Socket socket, std::string path,
                                  TcpRules rules)
    : handler_(handler), path_(std::move(path)), rules_(std::move(rules)) {
    if (!path_.empty()) ::lstat(path_.c_str(), &file_);
    daemon_ = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr,
                               nullptr, &Listener::called, this,                              //
                               MHD_OPTION_LISTEN_SOCKET, socket.fd(),                         //
                               MHD_OPTION_THREAD_POOL_SIZE, limits::threads,                  //
                               MHD_OPTION_CONNECTION_LIMIT, limits::connections_max,          //
                               MHD_OPTION_CONNECTION_TIMEOUT, limits::idle_seconds_max,       //
                               MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits::connection_bytes,  //
                               MHD_OPTION_STRICT_FOR_CLIENT, 1,                               //
                               MHD_OPTION_NOTIFY_COMPLETED, &Listener::completed, this,       //
                               MHD_OPTION_NOTIFY_CONNECTION, &Listener::connected, this,      //
                               MHD_OPTION_END);
    if (daemon_ == nullptr) throw ListenError("can't start the threads of the control API", false);
    socket.release();  // The daemon closes it.
}

ControlServer::Listener::~Listener() {
    changes_.stop();  // A connection that waits must not meet the end of its daemon.
    waits_.stop();
    events_.end();
    MHD_stop_daemon(daemon_);
    struct stat now {};
    // A server that took the path over keeps its file.
    const bool ours = !path_.empty() && ::lstat(path_.c_str(), &now) == 0 &&
                      now.st_dev == file_.st_dev && now.st_ino == file_.st_ino;
    if (ours) ::unlink(path_.c_str());
}

MHD_Result ControlServer::Listener::called(void* self, MHD_Connection* connection, const char* url,
                                           const char* method, const char*, const char* data,
                                           std::size_t* data_bytes, void** incoming) noexcept {
    Listener& listener = *static_cast<Listener*>(self);
    try {
        if (*incoming == nullptr) return listener.begin(connection, url, method, incoming);
        Incoming& request = *static_cast<Incoming*>(*incoming);
        if (*data_bytes == 0) return listener.finish(connection, url, method, request);
        if (request.body.size() + *data_bytes > request.body_bytes_max) return MHD_NO;
        request.body.append(data, *data_bytes);
        *data_bytes = 0;
        return MHD_YES;
    } catch (const std::exception&) {
        return MHD_NO;  // Out of memory: the connection is closed.
    }
}

void ControlServer::Listener::completed(void* self, MHD_Connection* connection, void** incoming,
                                        MHD_RequestTerminationCode) {
    delete static_cast<Incoming*>(*incoming);
    *incoming = nullptr;
    static_cast<Listener*>(self)->crowd_.end(member_of(connection));
}

void ControlServer::Listener::connected(void* self, MHD_Connection* connection, void** member,
                                        MHD_ConnectionNotificationCode what) {
    Crowd& crowd = static_cast<Listener*>(self)->crowd_;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *member = crowd.enter(info->connect_fd);
    } else {
        crowd.leave(static_cast<Crowd::Member*>(*member));
    }
}

/// Headers are in, the body is not.
MHD_Result ControlServer::Listener::begin(MHD_Connection* connection, const char* url,
                                          const char* method, void** incoming) const {
    Caller caller{.uid = {},
                  .method = method,
                  .host = header(connection, "Host"),
                  .origin = header(connection, "Origin"),
                  .authorization = header(connection, "Authorization")};
    if (!path_.empty()) {
        caller.uid = peer_of(connection);
        if (!caller.uid) return MHD_NO;
    }
    if (const auto refusal = refused(caller, ::geteuid(), rules()))
        return send(connection, *refusal);
    const Route* route = find_route(method, url).route;
    const std::size_t bytes_max = route == nullptr ? limits::body_bytes_max : route->body_bytes_max;
    const Thread thread = route == nullptr ? Thread::shared : route->thread;
    auto request = std::make_unique<Incoming>(Incoming{thread, bytes_max});
    if (body_too_long(connection, bytes_max)) {
        return send(connection, problem(413, "body-too-long", "the body is too long",
                                        "at most " + std::to_string(bytes_max) + " bytes"));
    }
    *incoming = request.release();
    return MHD_YES;
}

MHD_Result ControlServer::Listener::finish(MHD_Connection* connection, const char* url,
                                           const char* method, Incoming& incoming) {
    if (incoming.answer) return send(connection, *incoming.answer);
    crowd_.begin(member_of(connection));
    Request request{.method = method,
                    .path = url,
                    .query = {},
                    .body = std::move(incoming.body),
                    .content_type = content_type(connection),
                    .if_match = header(connection, MHD_HTTP_HEADER_IF_MATCH)};
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &add_query, &request.query);
    if (incoming.thread != Thread::shared) {
        return call(connection, std::move(request), incoming);
    }
    const Response answer = handler_(request);
    if (answer.events == nullptr) return send(connection, answer);
    return send(connection, answer, events_.make(connection, answer.events));
}

/// The connection rests until there is an answer, then MHD asks finish() again.
MHD_Result ControlServer::Listener::call(MHD_Connection* connection, Request request,
                                         Incoming& incoming) {
    MHD_suspend_connection(connection);
    CallThreads& threads = incoming.thread == Thread::of_wait ? waits_ : changes_;
    const bool started = threads.start([this, connection, &incoming, request = std::move(request)] {
        incoming.answer = handler_(request);
        MHD_resume_connection(connection);
    });
    if (!started) {
        incoming.answer = problem(503, "busy", "too many calls wait, or the server is stopping",
                                  "a suspend that waits for I/O is taken back by a resume");
        MHD_resume_connection(connection);
    }
    return MHD_YES;
}

ControlServer::ControlServer(Handler handler) : handler_(std::move(handler)) {}

ControlServer::~ControlServer() = default;

void ControlServer::listen_unix(const std::string& path, unsigned mode) {
    Socket socket = server::listen_unix(path, mode);
    listeners_.push_back(std::make_unique<Listener>(handler_, std::move(socket), path, TcpRules{}));
}

void ControlServer::set_rules(const TcpRules& rules) {
    for (const auto& listener : listeners_) listener->set_rules(rules);
}

std::uint16_t ControlServer::listen_tcp(const std::string& host, std::uint16_t port,
                                        TcpRules rules) {
    Socket socket = server::listen_tcp(host, port);
    const std::uint16_t bound = port_of(socket);
    listeners_.push_back(
        std::make_unique<Listener>(handler_, std::move(socket), "", std::move(rules)));
    return bound;
}

}  // namespace server::control
