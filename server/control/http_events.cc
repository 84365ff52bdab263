#include "server/control/http_events.h"

#include <microhttpd.h>
#include <poll.h>

namespace server::control {
namespace {

constexpr std::size_t block_bytes = 4096;  // MHD asks for so much at a time.

struct Body {
    MHD_Connection* connection;
    std::shared_ptr<EventReader> reader;
};

bool is_gone(MHD_Connection* connection) {
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    pollfd fd{info->connect_fd, POLLRDHUP, 0};
    return ::poll(&fd, 1, 0) > 0;
}

ssize_t read_body(void* self, std::uint64_t, char* to, std::size_t bytes_max) noexcept {
    const Body& body = *static_cast<Body*>(self);
    MHD_Connection* connection = body.connection;
    if (is_gone(connection)) return MHD_CONTENT_READER_END_WITH_ERROR;
    const auto bytes = body.reader->take(
        {to, bytes_max}, [connection] { MHD_suspend_connection(connection); },
        [connection] { MHD_resume_connection(connection); });
    return bytes ? static_cast<ssize_t>(*bytes) : MHD_CONTENT_READER_END_OF_STREAM;
}

}  // namespace

MHD_Response* EventBodies::make(MHD_Connection* connection, std::shared_ptr<EventReader> reader) {
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(readers_, [](const auto& each) { return each.expired(); });
        readers_.push_back(reader);
        if (ended_) reader->end();
    }
    auto body = std::make_unique<Body>(Body{connection, std::move(reader)});
    MHD_Response* response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, block_bytes, &read_body, body.get(),
                                          [](void* self) { delete static_cast<Body*>(self); });
    if (response != nullptr) static_cast<void>(body.release());  // MHD frees it.
    return response;
}

void EventBodies::end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    for (const auto& each : readers_) {
        if (const auto reader = each.lock()) reader->end();
    }
}

}  // namespace server::control
