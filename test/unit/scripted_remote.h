#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "unit/nbd_client.h"

/// An NBD server that does what a test says: for what no real one does on demand. One export `vol`
/// of 1 MiB, one client at a time, on a thread of its own.
class ScriptedRemote {
  public:
    struct Answer {
        std::uint32_t error = 0;
        bool closes = false;  // Right behind the reply, so that both arrive together.
    };
    using Script = std::function<Answer(server::nbd::Command command, unsigned connection)>;

    ScriptedRemote(const std::string& path, Script script)
        : path_(path), script_(std::move(script)) {
        listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        if (::bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listening_, 4) != 0) {
            throw std::runtime_error("bind " + path);
        }
        thread_ = std::thread([this] { accept_all(); });
    }
    ~ScriptedRemote() {
        leave();
        thread_.join();
        ::close(listening_);
    }
    /// Takes no more connections, and ends the one there is.
    void leave() {
        ::unlink(path_.c_str());
        ::shutdown(listening_, SHUT_RDWR);
        ::shutdown(client_, SHUT_RDWR);
    }
    unsigned connections() const { return connections_; }

  private:
    void accept_all() {
        for (;;) {
            const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            client_ = fd;
            ++connections_;
            serve(fd);
            client_ = -1;
            ::close(fd);
        }
    }
    void serve(int fd) const {
        using namespace server::nbd;
        nbd_test::Exports exports;
        ExportInfo info = nbd_test::export_named("vol");
        info.size_bytes = 1 << 20;
        exports.infos = {std::make_shared<ExportInfo>(info)};
        Handshake handshake(exports);
        const auto greeting = Handshake::greeting();
        send(fd, greeting);
        // A byte at a time: what follows the handshake stays in the socket.
        while (handshake.state() == Handshake::State::negotiating) {
            std::byte byte{};
            if (::recv(fd, &byte, 1, 0) != 1) return;
            Bytes out;
            handshake.feed({&byte, 1}, out);
            send(fd, out);
        }
        while (handshake.state() == Handshake::State::transmission && answer(fd)) {
        }
    }
    /// A reply of the simple form will do for all but a READ.
    bool answer(int fd) const {
        using namespace server::nbd;
        RequestHeader header;
        if (::recv(fd, &header, sizeof header, MSG_WAITALL) != sizeof header) return false;
        const auto command = static_cast<Command>(std::uint16_t{header.type});
        if (command == Command::disconnect) return false;
        std::vector<std::byte> payload(
            command == Command::write ? std::uint32_t{header.length_bytes} : 0U);
        const auto bytes = static_cast<ssize_t>(payload.size());
        if (bytes > 0 && ::recv(fd, payload.data(), payload.size(), MSG_WAITALL) != bytes)
            return false;
        const Answer said = script_(command, connections_);
        SimpleReply reply;
        reply.error = said.error;
        reply.cookie = header.cookie;
        send(fd, wire_bytes(reply));
        return !said.closes;
    }
    static void send(int fd, std::span<const std::byte> bytes) {
        ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }

    std::string path_;
    Script script_;
    int listening_ = -1;
    std::atomic<int> client_ = -1;
    std::atomic<unsigned> connections_ = 0;
    std::thread thread_;
};
