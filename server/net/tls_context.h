#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "config/load.h"
#include "config/spec.h"

struct ssl_ctx_st;

namespace server {

/// Can this build do TLS at all?
bool has_tls() noexcept;

/// The credentials of a `tls` block, loaded from its files: what new connections are served with.
/// Never changes; a reload replaces it. Any thread.
class TlsContext {
  public:
    /// Throws config::TlsTrouble.
    explicit TlsContext(const config::TlsSpec& spec);
    ~TlsContext();
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;

    ssl_ctx_st* get() const noexcept;

  private:
    struct Loaded;
    std::unique_ptr<Loaded> loaded_;
};

/// Null where `spec` is not given. Throws config::TlsTrouble.
std::shared_ptr<const TlsContext> load_tls(const config::TlsSpec& spec);

/// What load_tls() would throw, for `check`.
std::optional<config::TlsTrouble> check_tls(const config::TlsSpec& spec);

}  // namespace server
