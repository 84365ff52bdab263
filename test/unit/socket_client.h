#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "server/nbd/wire.h"
#include "unit/nbd_client.h"

/// A real NBD client on a unix socket, for tests of the whole server. Blocking; simple replies.
namespace socket_client {

using namespace server::nbd;

class Client {
  public:
    Client(const std::string& path, const std::string& name, bool structured = false) {
        fd_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            throw std::runtime_error("connect " + path);
        }
        receive(sizeof(Greeting));
        send(nbd_test::u32(3));
        if (structured) {
            send(nbd_test::option(Option::structured_reply));
            receive(sizeof(OptionReplyHeader));
        }
        send(nbd_test::option(Option::export_name, name));  // No padding, then size and flags.
        receive(10);
    }
    ~Client() { ::close(fd_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void request(Command command, std::uint64_t cookie, std::uint64_t offset, std::uint32_t length,
                 const std::string& payload = {}, std::uint16_t flags = 0) {
        send(nbd_test::request_header(command, cookie, offset, length, flags) + payload);
    }
    /// Cookie and error of the next reply; a READ's data is still to be received.
    std::pair<std::uint64_t, std::uint32_t> reply() {
        const std::string bytes = receive(sizeof(SimpleReply));
        SimpleReply head;
        std::memcpy(&head, bytes.data(), sizeof head);
        if (head.magic != simple_reply_magic) throw std::runtime_error("not a reply");
        return {head.cookie, head.error};
    }
    /// Sends nothing more, but listens.
    void close_half() { ::shutdown(fd_, SHUT_WR); }
    /// The server has closed, and nothing is left to read.
    bool at_end() {
        char byte = 0;
        return ::recv(fd_, &byte, 1, 0) == 0;
    }
    std::string receive(std::size_t bytes) {
        std::string data(bytes, '\0');
        for (std::size_t done = 0; done < bytes;) {
            const ssize_t got = ::recv(fd_, data.data() + done, bytes - done, 0);
            if (got <= 0) throw std::runtime_error("the server closed the connection");
            done += static_cast<std::size_t>(got);
        }
        return data;
    }
    void send(const std::string& bytes) {
        for (std::size_t done = 0; done < bytes.size();) {
            const ssize_t sent =
                ::send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
            if (sent <= 0) throw std::runtime_error("the server closed the connection");
            done += static_cast<std::size_t>(sent);
        }
    }

  private:
    int fd_ = -1;
};

}  // namespace socket_client
