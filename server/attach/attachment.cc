#include "server/attach/attachment.h"

#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>

#include "server/attach/device.h"
#include "server/attach/error.h"
#include "server/attach/limits.h"

namespace server::attach {
namespace {

using Kind = AttachError::Kind;

Socket block_signals() {
    std::signal(SIGPIPE, SIG_IGN);  // Who reads what it says may go; the device must stay.
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    Socket signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (signals.fd() < 0) throw std::system_error(errno, std::generic_category(), "signals");
    return signals;
}

}  // namespace

Attachment::Attachment(Options options, Say say)
    : options_(std::move(options)), say_(std::move(say)), signals_(block_signals()) {
    const auto until = Clock::now() + patience;
    Socket first = connect_to(options_.server, until);
    offer_ = enter_export(first.fd(), options_.export_name, until);
    terms_ = terms_of(options_, offer_);
    size_bytes_ = usable_bytes(offer_, terms_);
    sockets_ = connect_all(std::move(first));
    attach_device();
}

Attachment::~Attachment() {
    try {
        if (attached_) detach();
    } catch (const std::exception& error) {
        say_("failed", std::string("can't detach: ") + error.what());
    }
}

std::vector<Socket> Attachment::connect_all(Socket first) {
    std::vector<Socket> all;
    all.push_back(std::move(first));
    while (all.size() < terms_.connections) {
        const auto until = Clock::now() + patience;
        Socket next = connect_to(options_.server, until);
        Offer other;
        try {
            other = enter_export(next.fd(), options_.export_name, until);
        } catch (const AttachError& error) {
            // As exports are hidden that have as many clients as they may.
            if (options_.connections || error.kind != Kind::no_such) throw;
            terms_.connections = static_cast<unsigned>(all.size());
            terms_.notes.push_back("the server takes no more connections than " +
                                   std::to_string(terms_.connections));
            break;
        }
        const std::string why = mismatch(offer_, other, size_bytes_, terms_.block_bytes);
        if (!why.empty()) {
            throw AttachError(Kind::failed, "two connections reach different servers: " + why);
        }
        all.push_back(std::move(next));
    }
    return all;
}

/// What must come with each later word about the device.
Setup Attachment::change() const {
    Setup setup;
    setup.backend = backend_;
    return setup;
}

void Attachment::attach_device() {
    backend_ = offer_.identity ? offer_.identity->text
                               : options_.export_name + '@' + options_.server.text();
    Setup setup = change();
    setup.size_bytes = size_bytes_;
    setup.block_bytes = terms_.block_bytes;
    setup.timeout_s = static_cast<std::uint64_t>(terms_.timeout.count());
    setup.dead_timeout_s = static_cast<std::uint64_t>(terms_.dead_timeout.count());
    setup.server_flags = offer_.flags;
    for (const Socket& each : sockets_) setup.sockets.push_back(each.fd());
    connect_device(driver_, options_.index, setup);
    attached_ = true;
    try {
        // The kernel detaches it when nobody has it open any more: also if this process is killed.
        // Not at once: udev may have it open before us, and close it.
        device_ = open_device(options_.index, false);
        Setup guarded = change();
        guarded.client_flags = NBD_CFLAG_DISCONNECT_ON_CLOSE;
        driver_.reconfigure(options_.index, guarded);
    } catch (...) {
        driver_.disconnect(options_.index);
        throw;
    }
}

void Attachment::detach() {
    attached_ = false;
    const bool connected = note_dead() < sockets_.size();
    const bool free = detach_device(driver_, options_.index, std::move(device_), connected);
    say_("detached", free ? device_path(options_.index)
                          : device_path(options_.index) + "; somebody still has it open");
}

}  // namespace server::attach
