#include "server/stores/ring.h"

#include <liburing.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <asio/posix/stream_descriptor.hpp>
#include <cstring>
#include <optional>

#include "dmcore/pool.h"
#include "server/limits.h"

namespace server {
namespace {

using dmcore::Bio;

class Ring final : public FileRing {
  public:
    /// `ring` is set up, and will be taken down here.
    Ring(const io_uring& ring, int bell, asio::io_context& io, dmcore::Agenda& agenda)
        : ring_(ring),
          bell_(io, bell),
          agenda_(agenda),
          push_([](void* self) noexcept { static_cast<Ring*>(self)->push(); }, this) {
        wait();
    }
    ~Ring() override { io_uring_queue_exit(&ring_); }

    bool submit(FileStore& store, FileStore::Bios& run, Fallback& fallback) noexcept override;

  private:
    /// One call to the kernel.
    struct Call : dmcore::Link {
        FileStore::Bios run;
        Pieces pieces;
        std::optional<RangeGuards::Hold> guard;
        Fallback* fallback = nullptr;
    };

    bool hold(FileStore& store, Call& call, FileStore::Bios& run) noexcept;
    void push() noexcept;
    void take_finished() noexcept;
    void wait();

    io_uring ring_;
    asio::posix::stream_descriptor bell_;  // An eventfd: calls have ended.
    dmcore::Agenda& agenda_;
    dmcore::Pool<Call> calls_{limits::ring_calls_max};
    unsigned in_kernel_ = 0;  // Calls that it has taken and not ended.
    dmcore::Work push_;
};

bool Ring::submit(FileStore& store, FileStore::Bios& run, Fallback& fallback) noexcept {
    if (calls_.exhausted()) push();  // What is in the page cache ends at once, and makes room.
    Call* const call = calls_.take();
    if (call == nullptr) return false;
    call->pieces.clear();
    call->guard.reset();
    const bool fits = store.gather(run, call->pieces) && hold(store, *call, run);
    io_uring_sqe* const entry = fits ? io_uring_get_sqe(&ring_) : nullptr;
    if (entry == nullptr) {
        call->guard.reset();
        calls_.give(*call);
        return false;
    }
    const Bio& first = *run.front();
    const bool read = first.op == dmcore::Op::read;
    const std::uint64_t at = first.iter.sector * dmcore::sector_bytes;
    const int fd = store.file()->fd();
    const auto count = static_cast<unsigned>(call->pieces.count);
    const iovec* const pieces = call->pieces.all.data();
    if (read && count == 1) {
        io_uring_prep_read(entry, fd, pieces->iov_base, static_cast<unsigned>(pieces->iov_len), at);
    } else {
        (read ? io_uring_prep_readv : io_uring_prep_writev)(entry, fd, pieces, count, at);
    }
    io_uring_sqe_set_data(entry, call);
    call->fallback = &fallback;
    call->run.append(run);
    agenda_.add(push_);
    return true;
}

/// False: somebody else holds part of the range. A read of this turn does so no longer than it
/// takes to be read from the page cache.
bool Ring::hold(FileStore& store, Call& call, FileStore::Bios& run) noexcept {
    if (store.guard(run, call.guard)) return true;
    if (io_uring_sq_ready(&ring_) == 0) return false;
    push();
    return store.guard(run, call.guard);
}

/// One system call for all of this turn. The kernel rings no bell for what ends meanwhile, as all
/// does that is in the page cache: that would cost a third as much as its read. The rest may just
/// have missed its bell, or found no room in the kernel, so it is looked at once more.
void Ring::push() noexcept {
    if (io_uring_sq_ready(&ring_) == 0) return take_finished();
    io_uring_cq_eventfd_toggle(&ring_, false);
    const int taken = io_uring_submit(&ring_);
    io_uring_cq_eventfd_toggle(&ring_, true);
    if (taken > 0) in_kernel_ += static_cast<unsigned>(taken);
    take_finished();
    const bool more = in_kernel_ != 0 || io_uring_sq_ready(&ring_) != 0;
    if (more) ::eventfd_write(bell_.native_handle(), 1);
}

void Ring::take_finished() noexcept {
    io_uring_cqe* entry = nullptr;
    while (io_uring_peek_cqe(&ring_, &entry) == 0) {
        auto& call = *static_cast<Call*>(io_uring_cqe_get_data(entry));
        const bool good =
            entry->res >= 0 && static_cast<std::uint64_t>(entry->res) == call.pieces.bytes;
        io_uring_cqe_seen(&ring_, entry);
        --in_kernel_;
        call.guard.reset();
        if (good) {
            while (Bio* bio = call.run.pop()) bio->end();
        } else {
            call.fallback->hand_over(call.run);  // It tells whose failure it is.
        }
        calls_.give(call);
    }
}

void Ring::wait() {
    bell_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const auto& error) {
        if (error) return;
        eventfd_t count = 0;
        ::eventfd_read(bell_.native_handle(), &count);
        push();
        wait();
    });
}

}  // namespace

std::unique_ptr<FileRing> FileRing::open(asio::io_context& io, dmcore::Agenda& agenda) {
    io_uring ring;
    const int error = io_uring_queue_init(limits::ring_calls_max, &ring, 0);
    if (error != 0) {
        spdlog::debug("there is no io_uring: {}", std::strerror(-error));
        return nullptr;
    }
    const int bell = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell < 0 || io_uring_register_eventfd(&ring, bell) != 0) {
        if (bell >= 0) ::close(bell);
        io_uring_queue_exit(&ring);
        return nullptr;
    }
    return std::make_unique<Ring>(ring, bell, io, agenda);
}

}  // namespace server
