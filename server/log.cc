#include "server/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace server {
namespace {

constexpr std::size_t queue_lines = 8192;

spdlog::level::level_enum level_of(config::LogSpec::Level level) {
    switch (level) {
        case config::LogSpec::Level::debug: return spdlog::level::debug;
        case config::LogSpec::Level::info: return spdlog::level::info;
        case config::LogSpec::Level::warning: return spdlog::level::warn;
        default: return spdlog::level::err;
    }
}

/// One object a line: ts, level, msg.
class JsonFormatter final : public spdlog::formatter {
  public:
    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
        const auto since = message.time.time_since_epoch();
        const double seconds = std::chrono::duration<double>(since).count();
        const auto level = spdlog::level::to_string_view(message.level);
        nlohmann::ordered_json line;
        line["ts"] = seconds;
        line["level"] = std::string(level.data(), level.size());
        line["msg"] = std::string(message.payload.data(), message.payload.size());
        const std::string text =
            line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
        out.append(text.data(), text.data() + text.size());
    }
    std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<JsonFormatter>();
    }
};

}  // namespace

void start_log(const config::LogSpec& spec) {
    spdlog::init_thread_pool(queue_lines, 1);
    auto logger = std::make_shared<spdlog::async_logger>(
        "dmnbd", std::make_shared<spdlog::sinks::stderr_sink_mt>(), spdlog::thread_pool(),
        spdlog::async_overflow_policy::overrun_oldest);
    spdlog::set_default_logger(std::move(logger));
    change_log(spec);
}

void change_log(const config::LogSpec& spec) {
    const auto logger = spdlog::default_logger();
    using Format = config::LogSpec::Format;
    const bool json = spec.format == Format::json ||
                      (spec.format == Format::automatic && ::isatty(STDERR_FILENO) == 0);
    if (json) {
        logger->set_formatter(std::make_unique<JsonFormatter>());
    } else {
        logger->set_pattern("%H:%M:%S.%e %l: %v");
    }
    logger->set_level(level_of(spec.level));
}

void stop_log() {
    spdlog::shutdown();
}

}  // namespace server
