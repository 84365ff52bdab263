#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "server/attach/address.h"
#include "server/attach/driver.h"
#include "server/attach/error.h"
#include "server/attach/offer.h"

namespace server::attach {

struct Options {
    NbdAddress server;
    std::string export_name;
    unsigned index = 0;  // Of /dev/nbdN.
    std::optional<unsigned> connections{};
    std::optional<std::uint64_t> block_bytes{};
    std::optional<std::chrono::seconds> timeout{};
    std::optional<std::chrono::seconds> dead_timeout{};
};

/// What the kernel was told, worked out from the options and what the server offers.
struct Terms {
    unsigned connections = 1;
    std::uint64_t block_bytes = 512;
    std::chrono::seconds timeout{};
    std::chrono::seconds dead_timeout{};
    std::vector<std::string> notes{};  // What is not as it was asked for, or may surprise.
};

/// Throws AttachError if the kernel can't use such an export, or not that way.
Terms terms_of(const Options& options, const Offer& offer);

/// Whole blocks, in bytes.
std::uint64_t usable_bytes(const Offer& offer, const Terms& terms);

/// Why `now` can't take the place of `before` under an attached device; empty: it can. `size_bytes`
/// is what the device has. Within one run of a server it is for the server to keep data and name
/// together; else the identity must be the same. Where the servers say none, nobody can know.
std::string mismatch(const Offer& before, const Offer& now, std::uint64_t size_bytes,
                     std::uint64_t block_bytes);

/// A kernel device over connections to a server, for as long as this object lives.
class Attachment {
  public:
    /// `name`: of the event, one word ("attached", "reconnected"); `text`: for people.
    using Say = std::function<void(const std::string& name, const std::string& text)>;

    /// Connects and attaches. Signals that end or wake run() are blocked from here on, for good.
    /// Throws AttachError, std::system_error; the device is then not attached.
    Attachment(Options options, Say say);
    /// Detaches, if that is still to be done.
    ~Attachment();
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;

    /// Keeps the device connected, and as large as the export, until SIGTERM or SIGINT: then it is
    /// detached. SIGHUP: looks at the export now. Throws AttachError if the server does not come
    /// back in time, or another one does.
    void run();

    const Terms& terms() const noexcept { return terms_; }
    std::uint64_t size_bytes() const noexcept { return size_bytes_; }
    /// As the kernel shows it in /sys/block/nbdN/backend.
    const std::string& backend() const noexcept { return backend_; }

  private:
    enum class Woken { by_time, by_socket, to_look, to_end };

    std::vector<Socket> connect_all(Socket first);
    void attach_device();
    Woken wait(std::chrono::milliseconds time);
    std::size_t note_dead();
    bool reconnect(Clock::time_point until);
    bool tell_kernel(const Setup& setup);
    bool hand_over(Socket socket, std::size_t place);
    void look(Clock::time_point until);
    void follow(const Offer& now);
    void give_up_in_time(const AttachError& why);
    void detach();
    Setup change() const;

    Options options_;
    Say say_;
    Driver driver_;
    Socket signals_;
    Offer offer_;  // Of the server that is connected, as of the last look.
    Terms terms_;
    std::uint64_t size_bytes_ = 0;
    std::string backend_;
    std::vector<Socket> sockets_;  // Ours of those that the kernel has; none: it is dead.
    Socket device_;                // Open: so the device goes when this process does.
    bool attached_ = false;
    std::optional<Clock::time_point> dead_since_;  // All connections.
    std::string refusal_;                          // The last one that was told.
};

}  // namespace server::attach
