#pragma once

#include <map>
#include <memory>
#include <vector>

#include "server/nbd/session.h"
#include "sim/controls.h"
#include "sim/ledger.h"
#include "sim/machine.h"

namespace sim {

class Clients;
struct Connection;

/// An I/O that is submitted to a lane as it is, with its data in several segments.
struct DirectIo {
    Clients* clients = nullptr;
    Connection* connection = nullptr;
    unsigned number = 0;
    std::uint32_t generation = 0;
    dmcore::Bio bio;
    std::vector<dmcore::Segment> segments;
    std::vector<std::byte> data;
};

/// One client's way in: a session of the NBD server, fed with bytes, or a lane's own submit().
struct Connection {
    bool nbd = false;
    unsigned device = 0;
    unsigned shard = 0;
    std::unique_ptr<server::nbd::Session> session;
    bool woken = false;               // The session has something to send, or to end.
    std::vector<std::byte> unsent;    // The session could not take them yet.
    std::vector<std::byte> received;  // A reply, or a chunk, that is not complete.
    /// What chunks have brought of a read that more will follow for, by its cookie.
    std::map<std::uint64_t, std::vector<std::byte>> reads;
    std::vector<unsigned> requests;  // Under way, in the order they were sent.
    dmcore::Origin origin;           // Of a direct one...
    unsigned in_flight = 0;          // ...and its bios that have not ended.
};

/// One chunk of a reply.
struct Chunk {
    bool valid = false;
    bool done = false;
    server::nbd::ChunkType type{};
    std::uint64_t cookie = 0;
    std::span<const std::byte> payload;
    std::size_t bytes = 0;  // With its header.
};

/// All clients: they send, check what they are told, lose their connections and send again.
class Clients {
  public:
    Clients(dmcore::Random& random, Trace& trace, Machine& machine, const Stacks& stacks,
            Ledger& ledger, const Controls& controls);
    ~Clients();

    void connect(unsigned count);
    /// Some client sends something, unless too much is under way.
    void send();
    /// Passes on what sessions of this shard have to say. False: nothing.
    bool pump(unsigned shard);
    /// Some connection dies; its client sends what was not answered again, on another [O-2].
    void kill_one();
    /// All die, and nobody sends anything again.
    void kill_all();
    /// Those that have died and are not rid of their I/O yet.
    bool has_zombies() const noexcept { return !zombies_.empty(); }
    void set_most_under_way(unsigned most) { most_ = most; }

  private:
    void open(Connection& connection);
    void choose(Request& request, const Connection& connection);
    void submit(Connection& connection, Request& request);
    void submit_direct(Connection& connection, Request& request);
    void submit_nbd(Connection& connection, Request& request);
    void feed(Connection& connection);
    static void direct_done(dmcore::Bio& bio) noexcept;
    void direct_ended(DirectIo& io);
    void take_replies(Connection& connection);
    bool take_simple_reply(Connection& connection, std::size_t& at);
    bool take_chunk(Connection& connection, std::size_t& at);
    void take_content(Connection& connection, Request& request, const Chunk& chunk);
    Request& waiting(Connection& connection, std::uint64_t cookie);
    void answer(Connection& connection, Request& request, Outcome outcome, const std::byte* data);
    void die(Connection& connection);
    void send_again(Connection& connection, const std::vector<Request>& requests);
    void bury_idle();
    friend Tag tag_of(const dmcore::Bio& bio) noexcept;

    dmcore::Random& random_;
    Trace& trace_;
    Machine& machine_;
    const Stacks& stacks_;
    Ledger& ledger_;
    const Controls& controls_;
    std::vector<std::unique_ptr<server::nbd::Buffers>> buffers_;  // Of each shard.
    std::vector<std::unique_ptr<server::nbd::SessionResources>> resources_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<std::unique_ptr<Connection>> zombies_;
    std::vector<DirectIo> direct_;  // By request number.
    std::vector<std::uint64_t> values_;
    unsigned most_ = 16;
};

}  // namespace sim
