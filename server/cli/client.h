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

  private:
    struct Connection;

    Address address_;
    std::unique_ptr<Connection> connection_;
};

/// "/v1/devices/NAME", for any name.
std::string device_path(const std::string& name);

}  // namespace server::cli
