#include "server/attach/offer.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "server/attach/error.h"
#include "server/nbd/limits.h"
#include "server/nbd/text.h"
#include "server/nbd/wire.h"

namespace server::attach {
namespace {

using namespace server::nbd;
using Kind = AttachError::Kind;
using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

constexpr std::uint64_t oldstyle_magic = 0x00420281861253;
constexpr int replies_max = 64;  // To one option.

/// Who is talked to.
struct Peer {
    int fd;
    Clock::time_point until;
};

std::string_view text_of(ByteSpan bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void bad_answer(const std::string& what) {
    throw AttachError(Kind::failed, "what the server answers is no NBD: " + what,
                      "is it another kind of server, or another port of it?");
}

/// `error`: an errno; 0: it has closed the connection.
[[noreturn]] void lost(int error) {
    const std::string what = error == 0        ? "closed the connection"
                             : error == EAGAIN ? "does not answer in time"
                                               : std::strerror(error);
    throw AttachError(Kind::no_server, "the handshake with the server failed: " +
                                           (error == 0 || error == EAGAIN ? "it " + what : what));
}

/// False: the time is over.
bool await(const Peer& peer, short events) {
    using std::chrono::milliseconds;
    pollfd one{.fd = peer.fd, .events = events, .revents = 0};
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(peer.until - Clock::now());
        const int ready =
            ::poll(&one, 1, static_cast<int>(std::max(left, milliseconds(0)).count()));
        if (ready >= 0 || errno != EINTR) return ready > 0;
    }
}

void send_all(const Peer& peer, ByteSpan bytes) {
    while (!bytes.empty()) {
        if (!await(peer, POLLOUT)) lost(EAGAIN);
        const ssize_t sent =
            ::send(peer.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (sent <= 0) lost(errno);
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
}

Bytes receive(const Peer& peer, std::size_t count) {
    Bytes bytes(count);
    for (std::size_t done = 0; done < count;) {
        if (!await(peer, POLLIN)) lost(EAGAIN);
        const ssize_t got = ::recv(peer.fd, bytes.data() + done, count - done, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) lost(got == 0 ? 0 : errno);
        done += static_cast<std::size_t>(got);
    }
    return bytes;
}

template <WireType T>
T receive(const Peer& peer) {
    return wire_read<T>(receive(peer, sizeof(T)));
}

void append(Bytes& to, ByteSpan bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

/// Up to where options may be sent.
void greet(const Peer& peer) {
    const auto greeting = receive<Greeting>(peer);
    if (greeting.magic != greeting_magic) bad_answer("its greeting is not NBD's");
    if (greeting.newstyle == oldstyle_magic || (greeting.flags & flag_fixed_newstyle) == 0) {
        throw AttachError(Kind::failed, "the server speaks a form of NBD that is too old",
                          "it must know fixed newstyle negotiation");
    }
    if (greeting.newstyle != option_magic) bad_answer("its greeting is not NBD's");
    const unsigned both = flag_fixed_newstyle | flag_no_zeroes;
    const be32 flags = static_cast<std::uint32_t>(greeting.flags & both);
    send_all(peer, wire_bytes(flags));
}

void send_option(const Peer& peer, Option option, ByteSpan data) {
    OptionHeader head;
    head.magic = option_magic;
    head.option = static_cast<std::uint32_t>(option);
    head.data_bytes = static_cast<std::uint32_t>(data.size());
    Bytes all;
    append(all, wire_bytes(head));
    append(all, data);
    send_all(peer, all);
}

/// Data of INFO and GO: the name, and what we want to know.
Bytes question(const std::string& name) {
    const be32 name_bytes = static_cast<std::uint32_t>(name.size());
    const be16 wanted[] = {std::uint16_t{2}, static_cast<std::uint16_t>(InfoType::block_size),
                           static_cast<std::uint16_t>(InfoType::identity)};
    Bytes data;
    append(data, wire_bytes(name_bytes));
    append(data, std::as_bytes(std::span(name)));
    append(data, std::as_bytes(std::span(wanted)));
    return data;
}

[[noreturn]] void refused(std::uint32_t type, const std::string& name, ByteSpan text) {
    const std::string which = name.empty() ? "the default export" : "export " + in_quotes(name);
    const std::string said = text.empty() ? "" : ": it says " + in_quotes(text_of(text));
    switch (static_cast<OptionReply>(type)) {
        case OptionReply::error_unknown:
            throw AttachError(Kind::no_such, "the server has not got " + which + said,
                              "`dmnbd exports` lists what a server has");
        case OptionReply::error_tls_required:
            throw AttachError(Kind::failed, which + " is to be had by TLS only" + said,
                              "the kernel's client can't do TLS: use a unix socket or a tunnel");
        case OptionReply::error_shutdown:
            throw AttachError(Kind::no_server, "the server is stopping" + said);
        case OptionReply::error_unsupported:
            throw AttachError(Kind::failed,
                              "the server speaks a form of NBD that is too old" + said,
                              "it must know the option GO");
        default: throw AttachError(Kind::failed, "the server refuses " + which + said);
    }
}

/// An information of a known type must be as long as that type is, and more only for a text.
template <WireType T>
T checked(ByteSpan data, bool text_follows = false) {
    const bool fits = text_follows ? data.size() >= sizeof(T) : data.size() == sizeof(T);
    if (!fits) bad_answer("an information has the wrong length");
    return wire_read<T>(data);
}

void take_info(ByteSpan data, Offer& offer, bool& sized) {
    if (data.size() < sizeof(be16)) bad_answer("an information has the wrong length");
    switch (static_cast<InfoType>(std::uint16_t{wire_read<be16>(data)})) {
        case InfoType::export_size: {
            const auto info = checked<InfoExport>(data);
            offer.size_bytes = info.size_bytes;
            offer.flags = info.transmission_flags;
            sized = true;
            break;
        }
        case InfoType::block_size: {
            const auto info = checked<InfoBlockSize>(data);
            offer.min_block_bytes = info.minimum_bytes;
            offer.preferred_block_bytes = info.preferred_bytes;
            offer.max_payload_bytes = info.max_payload_bytes;
            break;
        }
        case InfoType::identity: {
            const auto info = checked<InfoIdentity>(data, true);
            const std::string_view text = text_of(data.subspan(sizeof info));
            if (text.size() > string_bytes_max || !is_protocol_string(text)) {
                bad_answer("the identity is not a text");
            }
            if (text.empty()) break;  // It does not know.
            offer.identity = Identity{info.server, info.answer_ms, std::string(text)};
            break;
        }
        default: break;  // What nobody asked for.
    }
}

/// The answers to INFO or GO, up to the last.
Offer receive_offer(const Peer& peer, Option option, const std::string& name) {
    Offer offer;
    bool sized = false;
    for (int i = 0; i < replies_max; ++i) {
        const auto head = receive<OptionReplyHeader>(peer);
        if (head.magic != option_reply_magic) bad_answer("a reply has the wrong magic number");
        if (head.option != static_cast<std::uint32_t>(option)) {
            bad_answer("a reply is to an option that was not sent");
        }
        if (head.data_bytes > option_data_bytes_max) bad_answer("a reply is far too long");
        const Bytes data = receive(peer, head.data_bytes);
        const auto type = static_cast<OptionReply>(std::uint32_t{head.type});
        if (type == OptionReply::info) {
            take_info(data, offer, sized);
        } else if (type == OptionReply::ack) {
            if (!sized) bad_answer("it says no size");
            return offer;
        } else if ((head.type & 0x80000000) != 0) {
            refused(head.type, name, data);
        } else {
            bad_answer("a reply has an unknown type");
        }
    }
    bad_answer("there is no end of replies");
}

Offer negotiate(const Peer& peer, Option option, const std::string& name) {
    if (name.size() > string_bytes_max) {
        throw AttachError(Kind::usage, "a name of an export has at most 4096 bytes");
    }
    greet(peer);
    send_option(peer, option, question(name));
    return receive_offer(peer, option, name);
}

}  // namespace

Offer enter_export(int fd, const std::string& name, Clock::time_point until) {
    return negotiate({fd, until}, Option::go, name);
}

Offer ask_export(int fd, const std::string& name, Clock::time_point until) {
    const Peer peer{fd, until};
    Offer offer = negotiate(peer, Option::info, name);
    send_option(peer, Option::abort, {});
    std::byte goodbye[sizeof(OptionReplyHeader)];  // Waited for, so that it does not meet a reset.
    if (await(peer, POLLIN)) (void)!::recv(fd, goodbye, sizeof goodbye, MSG_DONTWAIT);
    return offer;
}

}  // namespace server::attach
