#include "server/background.h"

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <memory>

namespace server {

Background::Background() : work_(asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {}

Background::~Background() {
    post([this] { io_.stop(); });
    thread_.join();
}

void Background::post(std::function<void()> what) {
    asio::post(io_, std::move(what));
}

void Background::after(std::chrono::nanoseconds time, std::function<void()> what) {
    const auto timer = std::make_shared<asio::steady_timer>(
        io_, std::chrono::duration_cast<asio::steady_timer::duration>(time));
    timer->async_wait([timer, what = std::move(what)](std::error_code error) {
        if (!error) what();
    });
}

}  // namespace server
