#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dmcore {

/// How an I/O ended. `requeue` never leaves dmcore: it asks the lane to run the I/O again.
enum class Status : std::uint8_t {
    ok,
    io_error,       // EIO
    no_space,       // ENOSPC
    invalid,        // EINVAL
    not_supported,  // EOPNOTSUPP
    again,          // EAGAIN
    interrupted,    // EINTR
    no_memory,      // ENOMEM
    timed_out,      // ETIMEDOUT
    no_data,        // ENODATA: the medium failed
    bad_checksum,   // EILSEQ: protection information
    no_link,        // ENOLINK: the transport failed
    remote_io,      // EREMOTEIO: the device below rejected the operation
    not_permitted,  // EPERM
    read_only,      // EROFS
    disconnected,   // ENOTCONN: a remote store that is reconnecting, for a time that it bounds
    shutdown,       // ESHUTDOWN: the submitter or the server is going away
    requeue,
};

/// "EIO" and the like; "disconnect" is the table file's word for `disconnected`.
std::string_view name_of(Status status) noexcept;

/// What a person reads: "no space left".
std::string_view text_of(Status status) noexcept;

/// The inverse of name_of; nothing for names that no I/O ends with.
std::optional<Status> status_named(std::string_view name) noexcept;

/// The status for a positive errno of the host; those without a status of their own are io_error.
Status status_from_errno(int error) noexcept;

/// A set of statuses, for retry policies.
class StatusSet {
  public:
    constexpr StatusSet() = default;
    constexpr void add(Status status) noexcept { bits_ |= bit(status); }
    constexpr void remove(Status status) noexcept { bits_ &= ~bit(status); }
    constexpr bool has(Status status) const noexcept { return (bits_ & bit(status)) != 0; }
    friend constexpr bool operator==(StatusSet, StatusSet) = default;

  private:
    static constexpr std::uint32_t bit(Status status) noexcept {
        return 1U << static_cast<unsigned>(status);
    }
    std::uint32_t bits_ = 0;
};

}  // namespace dmcore
