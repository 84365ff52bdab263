// How an attached device is kept connected, and as large as its export.
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "server/attach/attachment.h"
#include "server/attach/device.h"
#include "server/attach/limits.h"

namespace server::attach {
namespace {

using Kind = AttachError::Kind;
using std::chrono::milliseconds;

/// Shut down, by the server or by the kernel.
bool is_dead(const Socket& socket) {
    pollfd one{.fd = socket.fd(), .events = 0, .revents = 0};
    return socket.fd() < 0 || (::poll(&one, 1, 0) == 1 && one.revents != 0);
}

}  // namespace

void Attachment::run() {
    auto next_look = Clock::now() + look_interval;
    for (;;) {
        milliseconds time = look_interval;
        const auto until = Clock::now() + patience;
        const std::size_t dead = note_dead();
        if (dead > 0 && !reconnect(until)) time = reconnect_interval;
        if (attached_ && dead < sockets_.size() && Clock::now() >= next_look) {
            look(until);
            next_look = Clock::now() + look_interval;
        }
        if (!attached_) break;
        const Woken woken = wait(time);
        if (woken == Woken::to_end) return detach();
        if (woken == Woken::to_look) next_look = Clock::now();
    }
    device_ = Socket();
    say_("detached", "by somebody else");
}

Attachment::Woken Attachment::wait(milliseconds time) {
    std::vector<pollfd> all{{.fd = signals_.fd(), .events = POLLIN, .revents = 0}};
    for (const Socket& each : sockets_) all.push_back({.fd = each.fd(), .events = 0, .revents = 0});
    const int ready = ::poll(all.data(), all.size(), static_cast<int>(time.count()));
    if (ready <= 0) return Woken::by_time;
    signalfd_siginfo signal{};
    if (::read(signals_.fd(), &signal, sizeof signal) != sizeof signal) return Woken::by_socket;
    return signal.ssi_signo == SIGHUP ? Woken::to_look : Woken::to_end;
}

/// How many connections are dead. Tells of those that have died since the last call.
std::size_t Attachment::note_dead() {
    std::size_t dead = 0;
    bool news = false;
    for (Socket& each : sockets_) {
        if (!is_dead(each)) continue;
        news |= each.fd() >= 0;
        each = Socket();
        ++dead;
    }
    if (dead < sockets_.size()) dead_since_.reset();
    if (dead == sockets_.size() && !dead_since_) dead_since_ = Clock::now();
    if (news) {
        say_("lost", std::to_string(dead) + " of " + std::to_string(sockets_.size()) +
                         " connections are lost");
    }
    return dead;
}

/// False: some are still dead.
bool Attachment::reconnect(Clock::time_point until) {
    try {
        for (std::size_t place = 0; place < sockets_.size(); ++place) {
            if (sockets_[place].fd() >= 0) continue;
            Socket socket = connect_to(options_.server, until);
            const Offer now = enter_export(socket.fd(), options_.export_name, until);
            const std::string why = mismatch(offer_, now, size_bytes_, terms_.block_bytes);
            if (!why.empty()) {
                throw AttachError(Kind::other_bytes,
                                  "the server that answers now is refused: " + why);
            }
            if (!hand_over(std::move(socket), place)) return false;
            follow(now);
        }
    } catch (const AttachError& error) {
        give_up_in_time(error);
        return false;
    }
    refusal_.clear();
    dead_since_.reset();
    say_("reconnected", "all " + std::to_string(sockets_.size()) + " connections live");
    return true;
}

/// False: it is not attached any more.
bool Attachment::tell_kernel(const Setup& setup) {
    try {
        driver_.reconfigure(options_.index, setup);
    } catch (const std::system_error& error) {
        if (error.code().value() != EINVAL) throw;
        attached_ = false;
    }
    return attached_;
}

/// False: the kernel has not yet noticed that one is dead, or it is not attached any more.
bool Attachment::hand_over(Socket socket, std::size_t place) {
    Setup setup = change();
    setup.sockets = {socket.fd()};
    if (!tell_kernel(setup)) return false;
    // It says nothing of a socket that it has no place for; to one that it takes it gives a time.
    timeval given{};
    socklen_t bytes = sizeof given;
    ::getsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &given, &bytes);
    if (given.tv_sec == 0 && given.tv_usec == 0) return false;
    sockets_[place] = std::move(socket);
    return true;
}

/// Tells why it can't be done now; throws that when the time is over.
void Attachment::give_up_in_time(const AttachError& why) {
    if (refusal_ != why.what()) say_("waiting", why.what());
    refusal_ = why.what();
    if (!dead_since_ || Clock::now() - *dead_since_ < terms_.dead_timeout) return;
    throw AttachError(why.kind,
                      device_path(options_.index) + " is given up, for the time is over in which " +
                          "the server had to come back: " + refusal_,
                      why.help);
}

void Attachment::look(Clock::time_point until) {
    try {
        const Socket socket = connect_to(options_.server, until);
        const Offer now = ask_export(socket.fd(), options_.export_name, until);
        const std::string why = mismatch(offer_, now, size_bytes_, terms_.block_bytes);
        if (why.empty()) {
            follow(now);
        } else if (refusal_ != why) {
            say_("changed", "the export has changed under the device: " + why);
        }
        refusal_ = why;
    } catch (const AttachError&) {
        // Whether the server is still there, the connections tell.
    }
}

/// The kernel knows the flags that it was told first, and may count on them for ever.
void Attachment::follow(const Offer& now) {
    offer_.identity = now.identity;
    const std::uint64_t usable = usable_bytes(now, terms_);
    if (usable <= size_bytes_) return;
    Setup setup = change();
    setup.size_bytes = usable;
    if (!tell_kernel(setup)) return;
    say_("resized",
         "from " + std::to_string(size_bytes_) + " to " + std::to_string(usable) + " bytes");
    size_bytes_ = usable;
}

}  // namespace server::attach
