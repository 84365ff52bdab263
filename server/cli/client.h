#pragma once

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "server/cli/address.h"

namespace server::cli {

using Json = nlohmann::ordered_json;

/// Asks a running server over its control API.
class Client {
  public:
    explicit Client(const Address& address);
    ~Client();

    struct Answer {
        int status = 0;  // Of HTTP.
        std::string body;
    };
    /// Throws Failure (no_server) if nobody answers in time.
    Answer ask(const std::string& path);

    /// The body of a good answer. A refusal is thrown as the Failure that it stands for.
    std::string text(const std::string& path);
    Json json(const std::string& path);

    /// Asks for a change, and waits for as long as it takes: it may have to wait for I/O.
    Json post(const std::string& path, const std::string& body, const char* type = json_type);
    Json remove(const std::string& path);

    static constexpr const char* json_type = "application/json";
    static constexpr const char* yaml_type = "application/yaml";

  private:
    struct Connection;

    Json json_of(const Answer& answer) const;

    std::unique_ptr<Connection> connection_;
};

/// `value` as it travels. Throws Failure for text that is not UTF-8.
std::string json_text(const Json& value);

/// `text` as it goes into a path or a query.
std::string url_encoded(std::string_view text);

/// "/v1/devices/NAME", for any name.
std::string device_path(const std::string& name);

}  // namespace server::cli
