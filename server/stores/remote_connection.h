#pragma once

#include <poll.h>

#include <cstdint>
#include <string>

#include "config/spec.h"
#include "dmcore/survey.h"

struct nbd_handle;

namespace server {

/// What a remote says of its export in the handshake.
struct RemoteTraits {
    std::uint64_t size_bytes = 0;
    std::uint64_t payload_bytes_max = 0;
    std::uint32_t block_bytes = 1;
    bool read_only = false;
    bool flush = false;
    bool fua = false;
    bool trim = false;
    bool zero = false;
    bool cache = false;
    bool allocation = false;  // Tells what is a hole.
    bool multi_conn = false;
};

/// What one or several commands do for a bio.
class RemoteRequest : public dmcore::Link {
  public:
    virtual ~RemoteRequest() = default;
    /// All its commands have ended; `error` is the errno of the first that failed, ENOTCONN if the
    /// connection is gone. Called inside libnbd: nothing may be issued from here.
    virtual void ended() noexcept = 0;

    unsigned pending = 0;  // Commands that have not ended, plus one while they are being issued.
    int error = 0;
};

/// One connection to another NBD server, by libnbd. It never blocks but to resolve a name. Used on
/// the thread of its store only.
class RemoteConnection {
  public:
    enum class Phase : std::uint8_t { closed, connecting, ready };

    RemoteConnection() = default;
    ~RemoteConnection() { close(); }
    RemoteConnection(const RemoteConnection&) = delete;
    RemoteConnection& operator=(const RemoteConnection&) = delete;

    /// Begins to connect to `uri`, by TLS as `tls` says; only while closed.
    void connect(const std::string& uri, const config::RemoteTls& tls);
    Phase phase() const noexcept { return phase_; }
    /// Of a ready one.
    const RemoteTraits& traits() const noexcept { return traits_; }
    /// Why the last one came to its end.
    const std::string& trouble() const noexcept { return trouble_; }
    /// Commands that have not ended.
    unsigned in_flight() const noexcept;

    /// What to wait for; without a descriptor while closed.
    pollfd waits_for() const noexcept;
    /// Goes on after the wait. Requests may end meanwhile.
    void go_on(short events);
    /// Ends all commands as lost, and closes. `why` is for people.
    void drop(const std::string& why);

    /// Issues commands for what is left of a bio, no larger than the remote takes. What can't even
    /// be issued is an error of the request.
    void issue(dmcore::Bio& bio, RemoteRequest& request);
    void issue_flush(RemoteRequest& request);

  private:
    bool set_tls(const config::RemoteTls& tls);
    void look();
    bool is_over() const noexcept;
    void close() noexcept;
    void read_traits();
    void issue_data(const dmcore::Bio& bio, RemoteRequest& request, std::uint32_t flags);
    void issue_question(dmcore::Bio& bio, RemoteRequest& request);
    void issue_range(const dmcore::Bio& bio, RemoteRequest& request, std::uint32_t flags);
    void issue_zeroes(const dmcore::Bio& bio, RemoteRequest& request, std::uint32_t flags);
    template <class Call>
    void command(RemoteRequest& request, Call call);

    nbd_handle* handle_ = nullptr;
    Phase phase_ = Phase::closed;
    RemoteTraits traits_;
    std::string trouble_;
};

}  // namespace server
