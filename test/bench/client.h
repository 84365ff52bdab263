#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "bench/histogram.h"
#include "bench/tls.h"
#include "server/nbd/wire.h"

namespace bench {

using Nanoseconds = std::uint64_t;
Nanoseconds now_ns() noexcept;

struct Workload {
    std::size_t depth = 32;  // Requests in flight, of each connection.
    std::uint32_t request_bytes = 4096;
    unsigned write_percent = 0;
    bool trim = false;  // Instead of reads and writes.
    bool sequential = false;
    bool verify = false;           // What is written tells its place; what is read must.
    std::uint64_t area_bytes = 0;  // Of the export, from its start; 0: all of it.
    std::string tls_ca;            // Certificate of whoever signs the server's; empty: no TLS.
    std::string tls_suite;         // The only one to be taken; empty: any.
};

/// What all connections have counted.
struct Tally {
    std::uint64_t requests = 0;
    Histogram latencies;
};

/// One connection that keeps `depth` requests in flight: new ones are sent, all in one call, for
/// all the replies that one call has received. Simple replies only, which every server can.
/// Whatever goes wrong ends the program.
class Client {
  public:
    /// `address`: the path of a unix socket, or HOST:PORT.
    Client(const std::string& address, const std::string& export_name, const Workload& workload,
           std::uint64_t seed);
    ~Client();
    Client(Client&& other) noexcept;
    Client(const Client&) = delete;

    int descriptor() const noexcept { return fd_; }
    /// Sends the first requests.
    void begin();
    /// Receives what there is, answers it with new requests.
    void on_readable(Tally& tally);
    /// Sends what could not be sent at once.
    void on_writable() { send(); }
    /// Issues nothing more; says goodbye once nothing is in flight, and is done then.
    void leave();
    bool done() const noexcept { return leaving_ && in_flight_ == 0; }
    /// Not all could be sent: call on_writable() once the socket has room.
    bool wants_room() const noexcept { return sent_ < output_.size(); }

  private:
    struct Slot {
        Nanoseconds began = 0;
        std::uint64_t offset_bytes = 0;
        bool reads = false;
    };

    void handshake(const std::string& export_name);
    void start_tls();
    void send_all(std::span<const std::byte> bytes);
    template <server::nbd::WireType T>
    T receive();
    ssize_t read_some(std::span<std::byte> to);
    ssize_t write_some(std::span<const std::byte> from);
    bool take_received(Tally& tally);
    void issue(std::size_t slot, Nanoseconds time);
    void say_goodbye();
    void send();
    std::size_t take(std::span<const std::byte> in, Nanoseconds time, Tally& tally);
    void payload(std::span<const std::byte> data);
    void finish(Nanoseconds time, Tally& tally);

    int fd_ = -1;
    std::unique_ptr<Tls> tls_;
    Workload workload_;
    std::mt19937_64 random_;
    std::uint64_t blocks_ = 0;
    std::uint64_t next_block_ = 0;  // Of a sequential workload.
    std::vector<Slot> slots_;
    std::vector<std::byte> input_;
    std::size_t input_bytes_ = 0;
    std::vector<std::byte> output_;
    std::size_t sent_ = 0;
    std::size_t in_flight_ = 0;
    bool leaving_ = false;
    std::size_t slot_ = 0;            // Whose payload is arriving...
    std::uint32_t payload_left_ = 0;  // ...this much of it still.
};

}  // namespace bench
