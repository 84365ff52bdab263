#include "bench/client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace bench {
namespace {

using namespace server::nbd;

constexpr std::size_t input_capacity_bytes = 512 * 1024;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "load: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

int connect_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
    return fd;
}

int connect_tcp(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(address.substr(0, colon).c_str(), address.substr(colon + 1).c_str(), &hints,
                      &found) != 0) {
        fail("no such address");
    }
    const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, found->ai_addr, found->ai_addrlen) != 0) fail("connect");
    ::freeaddrinfo(found);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/// The eight bytes at `at` of the export, which is a multiple of eight.
std::uint64_t word_at(std::uint64_t at) noexcept {
    return (at + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
}

}  // namespace

Nanoseconds now_ns() noexcept {
    return static_cast<Nanoseconds>(std::chrono::steady_clock::now().time_since_epoch().count());
}

Client::Client(const std::string& address, const std::string& export_name, const Workload& workload,
               std::uint64_t seed)
    : workload_(workload), random_(seed), slots_(workload.depth), input_(input_capacity_bytes) {
    fd_ = address.find('/') != std::string::npos ? connect_unix(address) : connect_tcp(address);
    handshake(export_name);
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
}

ssize_t Client::read_some(std::span<std::byte> to) {
    return tls_ != nullptr ? tls_->read(to) : ::recv(fd_, to.data(), to.size(), 0);
}

ssize_t Client::write_some(std::span<const std::byte> from) {
    return tls_ != nullptr ? tls_->write(from)
                           : ::send(fd_, from.data(), from.size(), MSG_NOSIGNAL);
}

void Client::send_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = write_some(bytes);
        if (sent < 0) fail("send");
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
}

template <WireType T>
T Client::receive() {
    std::array<std::byte, sizeof(T)> bytes;
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t got = read_some(std::span(bytes).subspan(done));
        if (got <= 0) fail("handshake");
        done += static_cast<std::size_t>(got);
    }
    return wire_read<T>(bytes);
}

void Client::start_tls() {
    OptionHeader option;
    option.magic = option_magic;
    option.option = static_cast<std::uint32_t>(Option::starttls);
    send_all(wire_bytes(option));
    const auto reply = receive<OptionReplyHeader>();
    if (reply.type != static_cast<std::uint32_t>(OptionReply::ack)) fail("STARTTLS");
    tls_ = std::make_unique<Tls>(fd_, workload_.tls_ca, workload_.tls_suite);
}

Client::~Client() {
    if (fd_ >= 0) ::close(fd_);
}

Client::Client(Client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      tls_(std::move(other.tls_)),
      workload_(other.workload_),
      random_(other.random_),
      blocks_(other.blocks_),
      next_block_(other.next_block_),
      slots_(std::move(other.slots_)),
      input_(std::move(other.input_)) {}

void Client::handshake(const std::string& export_name) {
    const auto greeting = receive<Greeting>();
    if (greeting.magic != greeting_magic) fail("not an NBD server");
    const bool no_zeroes = (greeting.flags & flag_no_zeroes) != 0;
    send_all(wire_bytes(be32{greeting.flags}));
    if (!workload_.tls_ca.empty()) start_tls();
    OptionHeader option;
    option.magic = option_magic;
    option.option = static_cast<std::uint32_t>(Option::export_name);
    option.data_bytes = static_cast<std::uint32_t>(export_name.size());
    send_all(wire_bytes(option));
    send_all(std::as_bytes(std::span(export_name)));
    const auto reply = receive<ExportNameReply>();
    if (!no_zeroes) receive<std::array<std::uint8_t, export_name_zeroes_bytes>>();
    const std::uint64_t area = workload_.area_bytes == 0
                                   ? static_cast<std::uint64_t>(reply.size_bytes)
                                   : workload_.area_bytes;
    blocks_ = std::min<std::uint64_t>(area, reply.size_bytes) / workload_.request_bytes;
    if (blocks_ == 0) fail("the export is too small");
    next_block_ = random_() % blocks_;
}

void Client::begin() {
    const Nanoseconds time = now_ns();
    for (std::size_t i = 0; i < slots_.size(); ++i) issue(i, time);
    send();
}

/// The cookie is the number of the slot.
void Client::issue(std::size_t slot, Nanoseconds time) {
    const std::uint64_t block =
        workload_.sequential ? next_block_++ % blocks_ : random_() % blocks_;
    const bool writes = workload_.write_percent != 0 && random_() % 100 < workload_.write_percent;
    const Command command = workload_.trim ? Command::trim
                            : writes       ? Command::write
                                           : Command::read;
    ++in_flight_;
    slots_[slot] = {time, block * workload_.request_bytes, command == Command::read};
    RequestHeader request;
    request.magic = request_magic;
    request.type = static_cast<std::uint16_t>(command);
    request.cookie = slot;
    request.offset_bytes = slots_[slot].offset_bytes;
    request.length_bytes = workload_.request_bytes;
    const auto header = wire_bytes(request);
    output_.insert(output_.end(), header.begin(), header.end());
    if (command != Command::write) return;
    const std::size_t at = output_.size();
    output_.resize(at + workload_.request_bytes);
    if (!workload_.verify) return;
    for (std::size_t i = 0; i < workload_.request_bytes; i += sizeof(std::uint64_t)) {
        const std::uint64_t word = word_at(slots_[slot].offset_bytes + i);
        std::memcpy(output_.data() + at + i, &word, sizeof word);
    }
}

void Client::leave() {
    leaving_ = true;
    if (in_flight_ == 0) say_goodbye();
}

void Client::say_goodbye() {
    RequestHeader request;
    request.magic = request_magic;
    request.type = static_cast<std::uint16_t>(Command::disconnect);
    const auto header = wire_bytes(request);
    output_.insert(output_.end(), header.begin(), header.end());
    send();
}

void Client::send() {
    while (sent_ < output_.size()) {
        const ssize_t sent = write_some(std::span(output_).subspan(sent_));
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (sent < 0) fail("send");
        sent_ += static_cast<std::size_t>(sent);
    }
    if (sent_ * 2 < output_.size()) return;
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(sent_));
    sent_ = 0;
}

void Client::on_readable(Tally& tally) {
    do {
        if (!take_received(tally)) return;
        send();
    } while (tls_ != nullptr);
}

/// False: there is nothing now.
bool Client::take_received(Tally& tally) {
    const ssize_t got = read_some(std::span(input_).subspan(input_bytes_));
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got == 0 && done()) return false;
    if (got <= 0) fail("the server has closed the connection");
    input_bytes_ += static_cast<std::size_t>(got);
    const std::size_t taken = take(std::span(input_).first(input_bytes_), now_ns(), tally);
    std::memmove(input_.data(), input_.data() + taken, input_bytes_ - taken);
    input_bytes_ -= taken;
    return true;
}

std::size_t Client::take(std::span<const std::byte> in, Nanoseconds time, Tally& tally) {
    std::size_t taken = 0;
    for (;;) {
        const auto rest = in.subspan(taken);
        if (payload_left_ != 0) {
            // Whole words only, so that each can be told from its place.
            const std::size_t bytes = std::min<std::size_t>(rest.size(), payload_left_) & ~7ULL;
            if (bytes == 0) return taken;
            payload(rest.first(bytes));
            taken += bytes;
            if (payload_left_ == 0) finish(time, tally);
            continue;
        }
        if (rest.size() < sizeof(SimpleReply)) return taken;
        const auto reply = wire_read<SimpleReply>(rest);
        taken += sizeof reply;
        if (reply.magic != simple_reply_magic || reply.cookie >= slots_.size()) fail("bad reply");
        if (reply.error != 0) fail("a request failed");
        slot_ = reply.cookie;
        if (slots_[slot_].reads) {
            payload_left_ = workload_.request_bytes;
        } else {
            finish(time, tally);
        }
    }
}

void Client::payload(std::span<const std::byte> data) {
    const std::uint64_t at = slots_[slot_].offset_bytes + workload_.request_bytes - payload_left_;
    payload_left_ -= static_cast<std::uint32_t>(data.size());
    if (!workload_.verify) return;
    for (std::size_t i = 0; i < data.size(); i += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, data.data() + i, sizeof word);
        if (word != word_at(at + i)) {
            std::fprintf(stderr, "load: wrong data at byte %llu\n",
                         static_cast<unsigned long long>(at + i));
            std::exit(1);
        }
    }
}

void Client::finish(Nanoseconds time, Tally& tally) {
    ++tally.requests;
    tally.latencies.add(time - slots_[slot_].began);
    --in_flight_;
    if (!leaving_) {
        issue(slot_, time);
    } else if (in_flight_ == 0) {
        say_goodbye();
    }
}

}  // namespace bench
