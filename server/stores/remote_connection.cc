#include "server/stores/remote_connection.h"

#include <libnbd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace server {

using dmcore::Bio;
using dmcore::Op;

namespace {

constexpr std::uint64_t payload_bytes_default = 32ULL << 20;  // What every server takes.
constexpr std::uint64_t range_bytes_max = 1ULL << 30;         // Of a trim or zero, by 32 bits.
std::byte zeroes[64 << 10];

int answered(void* self, int* error) noexcept {
    auto& request = *static_cast<RemoteRequest*>(self);
    if (*error != 0 && request.error == 0) request.error = *error;
    return 1;  // libnbd may forget the command.
}

/// It has: once for each command, also for one that could not be issued.
void forgotten(void* self) noexcept {
    auto& request = *static_cast<RemoteRequest*>(self);
    if (--request.pending == 0) request.ended();
}

nbd_completion_callback completion_of(RemoteRequest& request) {
    return {.callback = &answered, .user_data = &request, .free = &forgotten};
}

/// What the remote says of one range. Where it is finer than sectors it is not followed further.
int surveyed(void* self, const char* context, std::uint64_t, std::uint32_t* entries,
             std::size_t count, int*) noexcept {
    auto& survey = *static_cast<dmcore::Survey*>(self);
    if (std::string_view(context) != LIBNBD_CONTEXT_BASE_ALLOCATION) return 0;
    for (std::size_t i = 0; i + 1 < count; i += 2) {
        const std::uint32_t bytes = entries[i];
        const std::uint32_t state = entries[i + 1];
        if (bytes % dmcore::sector_bytes != 0) return 0;
        if (!survey.add({bytes / dmcore::sector_bytes, (state & LIBNBD_STATE_HOLE) != 0,
                         (state & LIBNBD_STATE_ZERO) != 0})) {
            return 0;
        }
    }
    return 0;
}

std::string last_trouble() {
    const char* text = nbd_get_error();
    return text == nullptr ? "no reason is known" : text;
}

}  // namespace

/// Before the URI, which may say more, has been looked at.
bool RemoteConnection::set_tls(const config::RemoteTls& tls) {
    if (!tls.use) return true;
    constexpr int uses[] = {LIBNBD_TLS_DISABLE, LIBNBD_TLS_ALLOW, LIBNBD_TLS_REQUIRE};
    const auto set = [this](int (*call)(nbd_handle*, const char*), const std::string& value) {
        return value.empty() || call(handle_, value.c_str()) == 0;
    };
    return nbd_set_tls(handle_, uses[static_cast<unsigned>(*tls.use)]) == 0 &&
           nbd_set_tls_verify_peer(handle_, tls.verify_peer) == 0 &&
           set(nbd_set_tls_certificates, tls.certificates) &&
           set(nbd_set_tls_psk_file, tls.psk_path) && set(nbd_set_tls_username, tls.username);
}

void RemoteConnection::connect(const std::string& uri, const config::RemoteTls& tls) {
    handle_ = nbd_create();
    if (handle_ == nullptr) {
        trouble_ = last_trouble();
        return;
    }
    phase_ = Phase::connecting;
    nbd_set_uri_allow_local_file(handle_, true);  // For a key file of TLS.
    nbd_set_pread_initialize(handle_, false);
    nbd_add_meta_context(handle_, LIBNBD_CONTEXT_BASE_ALLOCATION);
    if (!set_tls(tls) || nbd_aio_connect_uri(handle_, uri.c_str()) != 0) {
        trouble_ = last_trouble();
        close();
        return;
    }
    look();
}

bool RemoteConnection::is_over() const noexcept {
    return nbd_aio_is_dead(handle_) == 1 || nbd_aio_is_closed(handle_) == 1;
}

/// Takes up what libnbd has come to.
void RemoteConnection::look() {
    if (is_over()) {
        close();
    } else if (phase_ == Phase::connecting && nbd_aio_is_ready(handle_) == 1) {
        read_traits();
        phase_ = Phase::ready;
        trouble_.clear();
    }
}

void RemoteConnection::read_traits() {
    const auto is = [](int answer) { return answer == 1; };
    const std::int64_t size = nbd_get_size(handle_);
    const std::int64_t most = nbd_get_block_size(handle_, LIBNBD_SIZE_MAXIMUM);
    const std::int64_t least = nbd_get_block_size(handle_, LIBNBD_SIZE_MINIMUM);
    traits_.size_bytes = size < 0 ? 0 : static_cast<std::uint64_t>(size);
    traits_.payload_bytes_max = payload_bytes_default;
    if (most > 0) {
        traits_.payload_bytes_max =
            std::min(payload_bytes_default, static_cast<std::uint64_t>(most));
    }
    traits_.block_bytes = least > 0 ? static_cast<std::uint32_t>(least) : 1;
    traits_.read_only = is(nbd_is_read_only(handle_));
    traits_.flush = is(nbd_can_flush(handle_));
    traits_.fua = is(nbd_can_fua(handle_));
    traits_.trim = is(nbd_can_trim(handle_));
    traits_.zero = is(nbd_can_zero(handle_));
    traits_.cache = is(nbd_can_cache(handle_));
    traits_.allocation = is(nbd_can_meta_context(handle_, LIBNBD_CONTEXT_BASE_ALLOCATION));
    traits_.multi_conn = is(nbd_can_multi_conn(handle_));
}

unsigned RemoteConnection::in_flight() const noexcept {
    return handle_ == nullptr ? 0 : static_cast<unsigned>(nbd_aio_in_flight(handle_));
}

pollfd RemoteConnection::waits_for() const noexcept {
    if (handle_ == nullptr) return {-1, 0, 0};
    const unsigned direction = nbd_aio_get_direction(handle_);
    const int events = ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? POLLIN : 0) |
                       ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? POLLOUT : 0);
    return {nbd_aio_get_fd(handle_), static_cast<short>(events), 0};
}

void RemoteConnection::go_on(short events) {
    if (handle_ == nullptr || events == 0) return;
    const unsigned direction = nbd_aio_get_direction(handle_);
    int rc = 0;
    // Errors and ends are found by whoever reads, or writes if that is all that is waited for.
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 && (events & ~POLLOUT) != 0) {
        rc = nbd_aio_notify_read(handle_);
    } else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 && (events & ~POLLIN) != 0) {
        rc = nbd_aio_notify_write(handle_);
    }
    if (rc != 0) trouble_ = last_trouble();
    look();
}

void RemoteConnection::drop(const std::string& why) {
    if (handle_ == nullptr) return;
    trouble_ = why;
    // With its socket at its end libnbd ends each command, which closing would not do.
    if (phase_ == Phase::ready) ::shutdown(nbd_aio_get_fd(handle_), SHUT_RDWR);
    while (in_flight() > 0) {
        if ((nbd_aio_get_direction(handle_) & LIBNBD_AIO_DIRECTION_READ) != 0) {
            nbd_aio_notify_read(handle_);
        } else {
            nbd_aio_notify_write(handle_);
        }
    }
    close();
}

void RemoteConnection::close() noexcept {
    if (handle_ != nullptr) nbd_close(handle_);
    handle_ = nullptr;
    phase_ = Phase::closed;
}

template <class Call>
void RemoteConnection::command(RemoteRequest& request, Call call) {
    ++request.pending;
    if (call(completion_of(request)) != -1 || request.error != 0) return;
    const int error = nbd_get_errno();
    request.error = is_over() ? ENOTCONN : error == 0 ? EIO : error;
}

void RemoteConnection::issue(Bio& bio, RemoteRequest& request) {
    ++request.pending;
    const std::uint32_t fua = bio.fua && traits_.fua ? LIBNBD_CMD_FLAG_FUA : 0;
    if (has_data(bio.op)) {
        issue_data(bio, request, bio.op == Op::write ? fua : 0);
    } else if (!dmcore::is_write_like(bio.op)) {
        issue_question(bio, request);
    } else if (bio.op == Op::write_zeroes && !traits_.zero) {
        issue_zeroes(bio, request, fua);
    } else {
        issue_range(bio, request, fua);
    }
    if (--request.pending == 0) request.ended();
    look();  // To send may be what finds the connection gone.
}

void RemoteConnection::issue_data(const Bio& bio, RemoteRequest& request, std::uint32_t flags) {
    std::uint64_t at = bio.iter.sector * dmcore::sector_bytes;
    for_each_piece(bio.iter, bio.segments, [&](std::byte* data, std::size_t bytes) {
        for (std::size_t done = 0; done < bytes;) {
            const std::size_t count =
                std::min<std::uint64_t>(bytes - done, traits_.payload_bytes_max);
            command(request, [&](nbd_completion_callback ended) {
                return bio.op == Op::read
                           ? nbd_aio_pread(handle_, data + done, count, at, ended, flags)
                           : nbd_aio_pwrite(handle_, data + done, count, at, ended, flags);
            });
            at += count;
            done += count;
        }
    });
}

/// One command: it may answer less than was asked.
void RemoteConnection::issue_question(Bio& bio, RemoteRequest& request) {
    const std::uint64_t at = bio.iter.sector * dmcore::sector_bytes;
    const std::uint64_t count = std::min(range_bytes_max, bio.iter.bytes);
    if (bio.op == Op::survey && traits_.allocation) {
        const nbd_extent_callback extent{.callback = &surveyed,
                                         .user_data = static_cast<dmcore::Survey*>(&bio),
                                         .free = nullptr};
        command(request, [&](nbd_completion_callback ended) {
            return nbd_aio_block_status(handle_, count, at, extent, ended, 0);
        });
    } else if (bio.op == Op::prefetch && traits_.cache) {
        command(request, [&](nbd_completion_callback ended) {
            return nbd_aio_cache(handle_, count, at, ended, 0);
        });
    }
}

void RemoteConnection::issue_range(const Bio& bio, RemoteRequest& request, std::uint32_t flags) {
    if (bio.op == Op::discard && !traits_.trim) return;  // A hint that nobody takes.
    if (bio.no_unmap) flags |= LIBNBD_CMD_FLAG_NO_HOLE;
    std::uint64_t at = bio.iter.sector * dmcore::sector_bytes;
    const std::uint64_t end = at + bio.iter.bytes;
    for (; at < end; at += range_bytes_max) {
        const std::uint64_t count = std::min(range_bytes_max, end - at);
        command(request, [&](nbd_completion_callback ended) {
            return bio.op == Op::discard ? nbd_aio_trim(handle_, count, at, ended, flags)
                                         : nbd_aio_zero(handle_, count, at, ended, flags);
        });
    }
}

void RemoteConnection::issue_zeroes(const Bio& bio, RemoteRequest& request, std::uint32_t flags) {
    std::uint64_t at = bio.iter.sector * dmcore::sector_bytes;
    const std::uint64_t end = at + bio.iter.bytes;
    for (; at < end; at += sizeof zeroes) {
        const std::size_t count = std::min<std::uint64_t>(sizeof zeroes, end - at);
        command(request, [&](nbd_completion_callback ended) {
            return nbd_aio_pwrite(handle_, zeroes, count, at, ended, flags);
        });
    }
}

void RemoteConnection::issue_flush(RemoteRequest& request) {
    ++request.pending;
    if (traits_.flush) {
        command(request,
                [&](nbd_completion_callback ended) { return nbd_aio_flush(handle_, ended, 0); });
    }
    if (--request.pending == 0) request.ended();
    look();
}

}  // namespace server
