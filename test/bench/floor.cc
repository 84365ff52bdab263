// The floor: an NBD server that only frames the protocol over mapped memory. A thread a connection;
// one receive, then one gathered send for all the requests that it brought. What it costs is what
// the sockets cost. It trusts its client and serves one export of any name.
//   floor SOCKET MIB
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "server/nbd/wire.h"

namespace {

using namespace server::nbd;

constexpr std::size_t input_bytes = 1024 * 1024;
constexpr std::size_t pieces_max = 1024;

struct Disk {
    std::byte* data;
    std::size_t bytes;
};

template <WireType T>
T receive(int fd) {
    std::array<std::byte, sizeof(T)> bytes;
    if (::recv(fd, bytes.data(), bytes.size(), MSG_WAITALL) != sizeof(T)) return {};
    return wire_read<T>(bytes);
}

bool handshake(int fd, const Disk& disk) {
    Greeting greeting;
    greeting.flags = std::uint16_t{flag_fixed_newstyle | flag_no_zeroes};
    ::send(fd, &greeting, sizeof greeting, MSG_NOSIGNAL);
    receive<be32>(fd);
    const auto option = receive<OptionHeader>(fd);
    std::vector<char> name(option.data_bytes);
    if (!name.empty()) ::recv(fd, name.data(), name.size(), MSG_WAITALL);
    if (option.option != static_cast<std::uint32_t>(Option::export_name)) return false;
    ExportNameReply reply;
    reply.size_bytes = disk.bytes;
    reply.transmission_flags = std::uint16_t{flag_has_flags | send_flush | flag_can_multi_conn};
    return ::send(fd, &reply, sizeof reply, MSG_NOSIGNAL) == sizeof reply;
}

class Connection {
  public:
    Connection(int fd, const Disk& disk) : fd_(fd), disk_(disk), input_(input_bytes) {}

    void run() {
        while (receive_some()) {
            for (bool more = true; more;) {
                while (parse()) {
                }
                more = pieces_ + 2 > pieces_max;  // It stopped for want of room.
                if (!send_all()) return;
            }
            std::memmove(input_.data(), input_.data() + taken_, filled_ - taken_);
            filled_ -= taken_;
            taken_ = 0;
        }
    }

  private:
    /// The rest of a payload goes straight to its place.
    bool receive_some() {
        std::array<iovec, 2> into{
            {{to_, left_}, {input_.data() + filled_, input_.size() - filled_}}};
        const ssize_t got = ::readv(fd_, into.data(), 2);
        if (got <= 0) return false;
        const std::size_t payload = std::min(left_, static_cast<std::size_t>(got));
        to_ += payload;
        left_ -= payload;
        if (payload != 0 && left_ == 0) reply();
        filled_ += static_cast<std::size_t>(got) - payload;
        return true;
    }

    /// One request. False: there is no whole one, or no more room for replies.
    bool parse() {
        if (left_ != 0 || pieces_ + 2 > pieces_max) return false;
        if (filled_ - taken_ < sizeof(RequestHeader)) return false;
        const auto request = wire_read<RequestHeader>(std::span(input_).subspan(taken_));
        taken_ += sizeof request;
        cookie_ = request.cookie;
        std::byte* const data = disk_.data + request.offset_bytes;
        switch (static_cast<Command>(static_cast<std::uint16_t>(request.type))) {
            case Command::read:
                reply();
                iov_[pieces_++] = {data, request.length_bytes};
                return true;
            case Command::write: {
                const std::size_t here =
                    std::min<std::size_t>(request.length_bytes, filled_ - taken_);
                std::memcpy(data, input_.data() + taken_, here);
                taken_ += here;
                to_ = data + here;
                left_ = request.length_bytes - here;
                if (left_ == 0) reply();
                return true;
            }
            case Command::disconnect: return false;
            default: reply(); return true;
        }
    }

    void reply() {
        SimpleReply& head = heads_[pieces_];
        head = {};
        head.cookie = cookie_;
        iov_[pieces_++] = {&head, sizeof head};
    }

    bool send_all() {
        std::size_t first = 0;
        while (first < pieces_) {
            msghdr message{};
            message.msg_iov = iov_.data() + first;
            message.msg_iovlen = pieces_ - first;
            const ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
            if (sent < 0) return false;
            auto left = static_cast<std::size_t>(sent);
            while (first < pieces_ && left >= iov_[first].iov_len) left -= iov_[first++].iov_len;
            if (left == 0) continue;
            iov_[first].iov_base = static_cast<char*>(iov_[first].iov_base) + left;
            iov_[first].iov_len -= left;
        }
        pieces_ = 0;
        return true;
    }

    int fd_;
    Disk disk_;
    std::vector<std::byte> input_;
    std::size_t filled_ = 0, taken_ = 0;
    std::byte* to_ = nullptr;  // Where the rest of a payload goes...
    std::size_t left_ = 0;     // ...and how much that is.
    std::uint64_t cookie_ = 0;
    std::size_t pieces_ = 0;
    std::array<iovec, pieces_max> iov_;
    std::array<SimpleReply, pieces_max> heads_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("floor SOCKET MIB\n", stderr);
        return 2;
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    const std::size_t bytes = std::strtoull(argv[2], nullptr, 10) << 20;
    void* const data =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (data == MAP_FAILED ||
        ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 64) != 0) {
        std::perror("floor");
        return 1;
    }
    const Disk disk{static_cast<std::byte*>(data), bytes};
    for (;;) {
        const int fd = ::accept(listener, nullptr, nullptr);
        if (fd < 0) continue;
        std::thread([fd, disk] {
            if (handshake(fd, disk)) std::make_unique<Connection>(fd, disk)->run();
            ::close(fd);
        }).detach();
    }
}
