#include "dmcore/status.h"

#include <cerrno>

namespace dmcore {
namespace {

struct Entry {
    Status status;
    int error;
    std::string_view name;
    std::string_view text;
};

constexpr Entry entries[] = {
    {Status::ok, 0, "OK", "no error"},
    {Status::io_error, EIO, "EIO", "input/output error"},
    {Status::no_space, ENOSPC, "ENOSPC", "no space left"},
    {Status::invalid, EINVAL, "EINVAL", "invalid request"},
    {Status::not_supported, EOPNOTSUPP, "EOPNOTSUPP", "operation not supported"},
    {Status::again, EAGAIN, "EAGAIN", "try again"},
    {Status::interrupted, EINTR, "EINTR", "interrupted"},
    {Status::no_memory, ENOMEM, "ENOMEM", "out of memory"},
    {Status::timed_out, ETIMEDOUT, "ETIMEDOUT", "timed out"},
    {Status::no_data, ENODATA, "ENODATA", "the medium failed"},
    {Status::bad_checksum, EILSEQ, "EILSEQ", "protection information does not match"},
    {Status::no_link, ENOLINK, "ENOLINK", "the transport failed"},
    {Status::remote_io, EREMOTEIO, "EREMOTEIO", "rejected by the device below"},
    {Status::not_permitted, EPERM, "EPERM", "not permitted"},
    {Status::read_only, EROFS, "EROFS", "read-only"},
    {Status::disconnected, ENOTCONN, "disconnect", "not connected"},
    {Status::shutdown, ESHUTDOWN, "ESHUTDOWN", "going away"},
    {Status::requeue, 0, "REQUEUE", "to be run again"},
};

const Entry& entry(Status status) noexcept {
    return entries[static_cast<unsigned>(status)];
}

}  // namespace

std::string_view name_of(Status status) noexcept {
    return entry(status).name;
}

std::string_view text_of(Status status) noexcept {
    return entry(status).text;
}

std::optional<Status> status_named(std::string_view name) noexcept {
    for (const Entry& each : entries) {
        if (each.error != 0 && each.name == name) return each.status;
    }
    return std::nullopt;
}

Status status_from_errno(int error) noexcept {
    switch (error) {
        case EDQUOT:
        case EFBIG: return Status::no_space;
        case EACCES: return Status::not_permitted;
        default: break;
    }
    for (const Entry& each : entries) {
        if (each.error == error && error != 0) return each.status;
    }
    return Status::io_error;
}

}  // namespace dmcore
