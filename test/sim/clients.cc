#include "sim/clients.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sim {

using dmcore::Bio;
using dmcore::Op;
using dmcore::sector_bytes;
using dmcore::Status;
namespace nbd = server::nbd;

namespace {

constexpr dmcore::Time retry_deadline = std::chrono::seconds(10);  // As of `retry: {}`.
constexpr std::size_t shard_buffer_bytes = 1U << 20;               // Little enough to run out.

std::uint64_t cookie_of(const Request& request) noexcept {
    return std::uint64_t{request.generation} << 32 | request.number;
}

nbd::Command command_of(Op op) noexcept {
    switch (op) {
        case Op::write: return nbd::Command::write;
        case Op::flush: return nbd::Command::flush;
        case Op::discard: return nbd::Command::trim;
        case Op::write_zeroes: return nbd::Command::write_zeroes;
        default: return nbd::Command::read;
    }
}

nbd::ExportInfo info_of(const dmcore::Lane& lane) {
    nbd::ExportInfo info;
    info.size_bytes = lane.limits().size_sectors * sector_bytes;
    info.can_flush = info.can_fua = info.can_zero = info.can_multi_conn = true;
    info.can_trim = lane.limits().discard;
    return info;
}

}  // namespace

Clients::Clients(dmcore::Random& random, Trace& trace, Machine& machine, const Stacks& stacks,
                 Ledger& ledger, const Controls& controls)
    : random_(random),
      trace_(trace),
      machine_(machine),
      stacks_(stacks),
      ledger_(ledger),
      controls_(controls),
      direct_(requests_max),
      values_(request_sectors_max) {
    for (unsigned i = 0; i < machine.shards(); ++i) {
        buffers_.push_back(
            std::make_unique<nbd::Buffers>(shard_buffer_bytes, shard_buffer_bytes / 4 * 3));
        resources_.push_back(
            std::make_unique<nbd::SessionResources>(machine.agenda(i), *buffers_[i]));
    }
}

Clients::~Clients() = default;

/// The owner of a direct bio and of a session's both know the request.
Tag tag_of(const Bio& bio) noexcept {
    if (bio.done == &Clients::direct_done) {
        const auto& io = *static_cast<const DirectIo*>(bio.owner);
        return {io.number, io.generation};
    }
    const std::uint64_t cookie = static_cast<const nbd::Transfer*>(bio.owner)->request.cookie;
    return {static_cast<unsigned>(cookie & 0xffffffff), static_cast<std::uint32_t>(cookie >> 32)};
}

void Clients::connect(unsigned count) {
    while (connections_.size() < count) {
        auto fresh = std::make_unique<Connection>();
        fresh->nbd = random_.below(2) == 0;
        const bool on_top = random_.below(2) == 0;
        fresh->device = on_top ? machine_.devices() - 1
                               : static_cast<unsigned>(random_.below(machine_.devices()));
        open(*fresh);
        connections_.push_back(std::move(fresh));
    }
}

void Clients::open(Connection& connection) {
    connection.shard = static_cast<unsigned>(random_.below(machine_.shards()));
    if (!connection.nbd) return;
    dmcore::Lane& lane = machine_.device(connection.device).lane(connection.shard);
    const nbd::ExportInfo info = info_of(lane);
    nbd::Terms terms;
    terms.form = static_cast<nbd::Form>(random_.below(3));
    terms.transmission_flags = nbd::transmission_flags(info, terms.form);
    connection.session = std::make_unique<nbd::Session>(
        lane, info, terms, *resources_[connection.shard],
        [](void* self) noexcept { static_cast<Connection*>(self)->woken = true; }, &connection);
}

void Clients::send() {
    if (connections_.empty() || ledger_.under_way() >= most_) return;
    Connection& connection = *connections_[random_.below(connections_.size())];
    if (!controls_.open_for_clients(connection.device)) return;
    Request* request = ledger_.take();
    if (request == nullptr) return;
    choose(*request, connection);
    submit(connection, *request);
}

void Clients::choose(Request& request, const Connection& connection) {
    const std::uint64_t dice = random_.below(32);
    const dmcore::Lane& lane = machine_.device(connection.device).lane(connection.shard);
    request.device = connection.device;
    request.op = dice < 12   ? Op::read
                 : dice < 26 ? Op::write
                 : dice < 28 ? Op::flush
                 : dice < 30 ? Op::write_zeroes
                             : Op::discard;
    if (request.op == Op::discard && !lane.limits().discard) request.op = Op::read;
    const std::uint32_t clones = stacks_.flush_clones(connection.device);
    if (request.op == Op::flush && clones > 40 && (clones > 300 || random_.below(clones) > 40))
        request.op = Op::read;
    request.fua =
        (request.op == Op::write || request.op == Op::write_zeroes) && random_.below(5) == 0;
    const std::uint32_t size = std::max(1U, stacks_.sectors(connection.device));
    const std::uint64_t most = random_.below(8) == 0 ? request_sectors_max : 8;
    request.sectors =
        request.op == Op::flush ? 0 : 1 + static_cast<std::uint32_t>(random_.below(most));
    request.sector = request.op == Op::flush ? 0 : static_cast<std::uint32_t>(random_.below(size));
    const bool past_end = random_.below(256) == 0;
    if (!past_end) request.sectors = std::min(request.sectors, size - request.sector);
}

void Clients::submit(Connection& connection, Request& request) {
    ledger_.begin(request);
    request.began_at = machine_.now();
    trace_.note(What::send, request.number, static_cast<std::uint64_t>(request.op), request.sector);
    connection.requests.push_back(request.number);
    if (connection.nbd) {
        submit_nbd(connection, request);
    } else {
        submit_direct(connection, request);
    }
}

void Clients::submit_direct(Connection& connection, Request& request) {
    DirectIo& io = direct_[request.number];
    io.number = request.number;
    io.generation = request.generation;
    io.data.resize(request_sectors_max * sector_bytes);
    io.segments.clear();
    const std::size_t bytes = has_data(request.op) ? request.sectors * sector_bytes : 0;
    for (std::size_t at = 0; at < bytes;) {
        const std::size_t take =
            random_.below(2) == 0 ? bytes - at : (1 + random_.below(8)) * sector_bytes;
        io.segments.push_back({io.data.data() + at, std::min(take, bytes - at)});
        at += io.segments.back().bytes;
    }
    for (unsigned i = 0; i < bytes / sector_bytes; ++i) {
        stamp(io.data.data() + i * sector_bytes,
              request.op == Op::write ? request.value(i) : ~0ULL);
    }
    io.bio = Bio{};
    io.bio.op = request.op;
    io.bio.fua = request.fua;
    io.bio.iter.sector = request.sector;
    io.bio.iter.bytes = request.sectors * sector_bytes;
    io.bio.segments = io.segments.data();
    io.bio.done = direct_done;
    io.bio.owner = &io;
    io.bio.agenda = &machine_.agenda(connection.shard);
    io.bio.origin = &connection.origin;
    io.clients = this;
    io.connection = &connection;
    ++connection.in_flight;
    machine_.device(connection.device).lane(connection.shard).submit(io.bio);
}

void Clients::direct_done(Bio& bio) noexcept {
    auto& io = *static_cast<DirectIo*>(bio.owner);
    io.clients->direct_ended(io);
}

void Clients::direct_ended(DirectIo& io) {
    --io.connection->in_flight;
    if (io.connection->origin.dead) return;
    Request& request = ledger_.request(io.number);
    const Status status = io.bio.failure.status;
    if (request.generation != io.generation) trace_.violation("[R-1] a bio ended twice");
    if (status == Status::requeue || status == Status::shutdown) {
        trace_.violation("[R-10] request %u ended with %s", io.number, name_of(status).data());
    }
    const Outcome outcome = status == Status::ok              ? Outcome::good
                            : status == Status::not_supported ? Outcome::unsupported
                                                              : Outcome::failed;
    answer(*io.connection, request, outcome, io.data.data());
}

void Clients::answer(Connection& connection, Request& request, Outcome outcome,
                     const std::byte* data) {
    trace_.note(What::answer, request.number, static_cast<std::uint64_t>(outcome),
                static_cast<std::uint64_t>(request.op));
    if (request.op == Op::read && outcome == Outcome::good) {
        for (unsigned i = 0; i < request.sectors; ++i) {
            values_[i] = stamp_of(trace_, data + i * sector_bytes);
        }
    }
    if (machine_.now() - request.began_at >= retry_deadline) request.may_fail = true;
    std::erase(connection.requests, request.number);
    ledger_.answered(request, outcome, values_.data());
}

void Clients::submit_nbd(Connection& connection, Request& request) {
    const auto append = [&](auto header, std::uint32_t magic, unsigned flags) {
        header.magic = magic;
        header.flags = static_cast<std::uint16_t>(flags);
        header.type = static_cast<std::uint16_t>(command_of(request.op));
        header.cookie = cookie_of(request);
        header.offset_bytes = request.sector * sector_bytes;
        header.length_bytes = static_cast<std::uint32_t>(request.sectors * sector_bytes);
        const auto bytes = nbd::wire_bytes(header);
        connection.unsent.insert(connection.unsent.end(), bytes.begin(), bytes.end());
    };
    const unsigned fua = request.fua ? nbd::command_flag_fua : 0U;
    if (connection.session->form() == nbd::Form::extended) {
        const unsigned payload = request.op == Op::write ? nbd::command_flag_payload_length : 0U;
        append(nbd::ExtendedRequestHeader{}, nbd::extended_request_magic, fua | payload);
    } else {
        append(nbd::RequestHeader{}, nbd::request_magic, fua);
    }
    std::vector<std::byte>& out = connection.unsent;
    if (request.op == Op::write) {
        const std::size_t at = out.size();
        out.resize(at + request.sectors * sector_bytes);
        for (unsigned i = 0; i < request.sectors; ++i) {
            stamp(out.data() + at + i * sector_bytes, request.value(i));
        }
    }
    feed(connection);
}

/// As the socket would: as much as it takes, sometimes cut anywhere.
void Clients::feed(Connection& connection) {
    nbd::Session& session = *connection.session;
    std::vector<std::byte>& unsent = connection.unsent;
    std::size_t at = 0;
    while ((at < unsent.size() || session.waits()) && session.may_read()) {
        std::size_t bytes = unsent.size() - at;
        if (bytes > 1 && random_.below(8) == 0) bytes = 1 + random_.below(bytes);
        const std::size_t taken = session.feed(std::span(unsent).subspan(at, bytes));
        at += taken;
        if (taken == 0) break;
    }
    unsent.erase(unsent.begin(), unsent.begin() + static_cast<std::ptrdiff_t>(at));
    if (!session.fault().empty()) trace_.violation("a session closes: %s", session.fault().c_str());
}

bool Clients::pump(unsigned shard) {
    bool any = false;
    for (const auto& connection : connections_) {
        if (connection->shard != shard || !connection->nbd) continue;
        if (connection->woken) take_replies(*connection);
        any |= connection->woken;
        connection->woken = false;
        if (!connection->unsent.empty() || connection->session->waits()) feed(*connection);
    }
    bury_idle();
    return any;
}

void Clients::take_replies(Connection& connection) {
    std::array<iovec, 16> pieces;
    std::vector<std::byte>& in = connection.received;
    while (const std::size_t count = connection.session->output(pieces)) {
        std::size_t sent = 0;
        for (std::size_t i = 0; i < count; ++i) {
            std::size_t bytes = pieces[i].iov_len;
            const bool cut = random_.below(16) == 0;
            if (cut) bytes = random_.below(bytes + 1);
            const auto* data = static_cast<const std::byte*>(pieces[i].iov_base);
            in.insert(in.end(), data, data + bytes);
            sent += bytes;
            if (cut) break;
        }
        connection.session->sent(sent);
        std::size_t at = 0;
        const bool structured = connection.session->form() != nbd::Form::simple;
        while (structured ? take_chunk(connection, at) : take_simple_reply(connection, at)) {
        }
        in.erase(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(at));
    }
}

Request& Clients::waiting(Connection& connection, std::uint64_t cookie) {
    const auto number = static_cast<unsigned>(cookie & 0xffffffff);
    const auto& known = connection.requests;
    if (std::find(known.begin(), known.end(), number) == known.end() ||
        cookie_of(ledger_.request(number)) != cookie) {
        trace_.violation("[R-1] a reply to no request: %#llx",
                         static_cast<unsigned long long>(cookie));
    }
    return ledger_.request(number);
}

namespace {

Outcome outcome_of(std::uint32_t error) noexcept {
    if (error == 0) return Outcome::good;
    return error == static_cast<std::uint32_t>(nbd::NbdError::not_supported) ? Outcome::unsupported
                                                                             : Outcome::failed;
}

}  // namespace

namespace {

template <class Header>
std::optional<Chunk> read_chunk(std::span<const std::byte> in) {
    if (in.size() < sizeof(Header)) return std::nullopt;
    const auto head = nbd::wire_read<Header>(in);
    const auto payload_bytes = static_cast<std::size_t>(head.payload_bytes);
    if (in.size() - sizeof head < payload_bytes) return std::nullopt;
    return Chunk{.valid = head.magic == Header{}.magic,
                 .done = (head.flags & nbd::chunk_flag_done) != 0,
                 .type = static_cast<nbd::ChunkType>(std::uint16_t{head.type}),
                 .cookie = head.cookie,
                 .payload = in.subspan(sizeof head, payload_bytes),
                 .bytes = sizeof head + payload_bytes};
}

}  // namespace

bool Clients::take_simple_reply(Connection& connection, std::size_t& at) {
    const auto in = std::span<const std::byte>(connection.received).subspan(at);
    if (in.size() < sizeof(nbd::SimpleReply)) return false;
    const auto reply = nbd::wire_read<nbd::SimpleReply>(in);
    if (reply.magic != nbd::simple_reply_magic) trace_.violation("a reply without its magic");
    Request& request = waiting(connection, reply.cookie);
    const Outcome outcome = outcome_of(reply.error);
    const bool data = outcome == Outcome::good && request.op == Op::read;
    const std::size_t bytes = sizeof reply + (data ? request.sectors * sector_bytes : 0);
    if (in.size() < bytes) return false;
    answer(connection, request, outcome, in.data() + sizeof reply);
    at += bytes;
    return true;
}

bool Clients::take_chunk(Connection& connection, std::size_t& at) {
    const auto in = std::span<const std::byte>(connection.received).subspan(at);
    const std::optional<Chunk> chunk = connection.session->form() == nbd::Form::extended
                                           ? read_chunk<nbd::ExtendedChunkHeader>(in)
                                           : read_chunk<nbd::ChunkHeader>(in);
    if (!chunk) return false;
    at += chunk->bytes;
    if (!chunk->valid) trace_.violation("a chunk without its magic");
    Request& request = waiting(connection, chunk->cookie);
    if (chunk->type == nbd::ChunkType::error) {
        const auto error = nbd::wire_read<nbd::ErrorHead>(chunk->payload);
        answer(connection, request, outcome_of(error.error), nullptr);
    } else if (request.op == Op::read) {
        take_content(connection, request, *chunk);
    } else if (chunk->type != nbd::ChunkType::none || !chunk->done || !chunk->payload.empty()) {
        trace_.violation("a chunk of %zu bytes answers request %u", chunk->payload.size(),
                         request.number);
    } else {
        answer(connection, request, Outcome::good, nullptr);
    }
    return true;
}

/// Chunks come in the order of what they hold, and the last ends where the request does.
void Clients::take_content(Connection& connection, Request& request, const Chunk& chunk) {
    std::vector<std::byte>& read = connection.reads[chunk.cookie];
    const std::uint64_t expected = request.sector * sector_bytes + read.size();
    std::uint64_t offset = ~expected;
    if (chunk.type == nbd::ChunkType::offset_data &&
        chunk.payload.size() > sizeof(nbd::OffsetData)) {
        offset = nbd::wire_read<nbd::OffsetData>(chunk.payload).offset_bytes;
        const auto data = chunk.payload.subspan(sizeof(nbd::OffsetData));
        read.insert(read.end(), data.begin(), data.end());
    } else if (chunk.type == nbd::ChunkType::offset_hole &&
               chunk.payload.size() == sizeof(nbd::OffsetHole)) {
        const auto hole = nbd::wire_read<nbd::OffsetHole>(chunk.payload);
        offset = hole.offset_bytes;
        read.resize(read.size() + hole.hole_bytes);
    }
    const std::size_t whole = request.sectors * sector_bytes;
    if (offset != expected || read.size() > whole || chunk.done != (read.size() == whole)) {
        trace_.violation("chunks of request %u do not tile it", request.number);
    }
    if (!chunk.done) return;
    answer(connection, request, Outcome::good, read.data());
    connection.reads.erase(chunk.cookie);
}

/// The socket is gone: what the session has is abandoned, what it was told is not forgotten.
void Clients::die(Connection& connection) {
    trace_.note(What::die, connection.device, connection.shard);
    if (connection.nbd) {
        connection.session->die();
        machine_.abandon(connection.shard, connection.session->origin());
    } else {
        connection.origin.dead = true;
        machine_.abandon(connection.shard, connection.origin);
    }
}

void Clients::kill_one() {
    const std::size_t pick = random_.below(connections_.size());
    Connection& old = *connections_[pick];
    if (!old.nbd) return;
    auto fresh = std::make_unique<Connection>();
    fresh->nbd = true;
    fresh->device = old.device;
    std::vector<Request> lost;
    for (const unsigned number : old.requests) lost.push_back(ledger_.request(number));
    die(old);
    std::erase_if(old.requests, [&](unsigned number) {
        ledger_.died(ledger_.request(number));
        return ledger_.request(number).state == Request::State::unused;
    });
    zombies_.push_back(std::move(connections_[pick]));
    connections_[pick] = std::move(fresh);
    open(*connections_[pick]);
    send_again(*connections_[pick], lost);
}

/// What Linux does after its timeout: the same bytes, in the same order.
void Clients::send_again(Connection& connection, const std::vector<Request>& requests) {
    for (const Request& lost : requests) {
        Request* again = ledger_.take();
        if (again == nullptr) return;
        again->device = lost.device;
        again->op = lost.op;
        again->fua = lost.fua;
        again->sector = lost.sector;
        again->sectors = lost.sectors;
        again->first_value = lost.first_value;
        trace_.note(What::resend, again->number, lost.number);
        submit(connection, *again);
    }
}

void Clients::kill_all() {
    for (auto& connection : connections_) {
        die(*connection);
        connection->requests.clear();
        zombies_.push_back(std::move(connection));
    }
    for (const auto& zombie : zombies_) zombie->requests.clear();
    connections_.clear();
}

void Clients::bury_idle() {
    std::erase_if(zombies_, [&](const auto& zombie) {
        const bool idle = zombie->nbd ? zombie->session->idle() : zombie->in_flight == 0;
        if (!idle) return false;
        for (const unsigned number : zombie->requests) ledger_.gone(ledger_.request(number));
        return true;
    });
}

}  // namespace sim
