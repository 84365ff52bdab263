#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "server/net/tls_context.h"
#include "server/net/tls_records.h"
#include "server/net/tls_scratch.h"

struct ssl_st;

namespace server {

/// The server's side of TLS over one socket that does not block, from the client's first byte of
/// TLS on. The handshake is part of read(). Calls fail as system calls do, by -1 and errno: EPROTO
/// where TLS itself failed. On the shard.
class TlsStream {
  public:
    /// Socket and scratch are borrowed. Throws std::bad_alloc.
    TlsStream(std::shared_ptr<const TlsContext> context, int socket, TlsScratch& scratch);
    ~TlsStream();
    TlsStream(const TlsStream&) = delete;
    TlsStream& operator=(const TlsStream&) = delete;

    /// As readv(), by one receive call. All that it brought is in `room` then, the last piece of
    /// which has limits::receive_bytes: nothing waits in here while the socket is waited for.
    ssize_t read(std::span<const iovec> room);
    /// As writev(): up to limits::tls_batch_bytes go into few records, and those into one send
    /// call. Part of what is taken may wait for flush().
    ssize_t write(std::span<const iovec> pieces);
    /// True: all that was taken has been sent. False: call again when the socket has room.
    bool flush();
    /// Tells the client that nothing follows, if it can be told at once.
    void say_goodbye();
    /// Why a call failed with EPROTO.
    const std::string& trouble() const noexcept { return trouble_; }

  private:
    struct Bio;  // What OpenSSL calls to receive and send.
    struct Free {
        void operator()(ssl_st* ssl) const noexcept;
    };

    bool receive();
    std::size_t read_piece(std::span<std::byte> to);
    void heard(std::span<const unsigned char> message);
    void said(std::span<const unsigned char> alert);
    bool makes_records();
    void change_key();
    std::size_t seal_all(std::span<const iovec> pieces);
    bool seal(std::span<const std::byte> message, unsigned char type);
    std::size_t encrypt_all(std::span<const iovec> pieces);
    bool encrypt(std::span<const std::byte> bytes);
    void send_encrypted();
    void fail(int result);
    void fail();

    const std::shared_ptr<const TlsContext> context_;
    const int socket_;
    TlsScratch& scratch_;
    std::unique_ptr<ssl_st, Free> ssl_;
    Secret secret_;                        // Of TLS 1.3, until...
    std::unique_ptr<TlsRecords> records_;  // ...the first that is sent behind the handshake.
    bool finished_ = false;                // That is over for TLS 1.3, and OpenSSL sends no more.
    bool new_key_ = false;                 // The client wants us to use one.
    std::array<std::byte, 2> alert_{};     // That OpenSSL could not send; its level, 0: none.
    std::span<const std::byte> input_;     // Received by this call, and not decrypted yet.
    bool may_receive_ = false;
    bool at_end_ = false;            // The client sends nothing more.
    int error_ = 0;                  // What every call fails with from now on.
    std::vector<std::byte> unsent_;  // Encrypted, but the socket was full...
    std::size_t unsent_at_ = 0;      // ...from here on.
    std::string trouble_;
};

}  // namespace server
