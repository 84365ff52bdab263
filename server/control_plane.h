#pragma once

#include <memory>
#include <string>

#include "config/spec.h"
#include "server/background.h"
#include "server/control/http.h"
#include "server/reload.h"

namespace server {

/// Where the control API is reached, and how much is logged: as the table file says now. Used by
/// one thread at a time.
class ControlPlane final : public Companion {
  public:
    explicit ControlPlane(control::Handler handler) : handler_(std::move(handler)) {}

    /// Listens as `spec` says; where it names no socket, at the default path. Throws StartError.
    void start(const config::Spec& spec);
    /// Nobody is answered any more. Whoever owns what calls wait for ends their waiting first.
    void stop();

    /// New addresses listen at once, so that nothing can fail later.
    void prepare(const config::Spec& wanted) override;
    void commit() noexcept override;
    void undo() noexcept override;

  private:
    using Server = std::unique_ptr<control::ControlServer>;

    Server listen_unix(const config::ControlSpec& spec);
    Server listen_tcp(const config::ControlSpec& spec);
    std::string path_of(const config::ControlSpec& spec) const;
    void close(Server server) noexcept;

    const control::Handler handler_;
    std::string default_path_;  // Empty: not needed so far.
    config::ControlSpec now_;
    Server unix_;
    Server tcp_;  // Null: not wanted.

    config::ControlSpec next_;  // Between prepare() and what ends it, as are the next ones.
    config::LogSpec next_log_;
    bool moves_unix_ = false;
    bool moves_tcp_ = false;
    Server next_unix_;
    Server next_tcp_;
    /// Closes what is left: that waits for calls, which may wait for the reload.
    Background background_;
};

}  // namespace server
