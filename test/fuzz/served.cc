#include "fuzz/served.h"

#include "fuzz/fuzz.h"
#include "unit/nbd_client.h"

namespace fuzz {
namespace {

using namespace server::nbd;
using stack::Answer;

dmcore::DeviceOptions options_of(const Traffic& traffic) {
    dmcore::DeviceOptions options;
    if (!traffic.strict) options.retry = dmcore::default_retry();
    options.read_only = traffic.read_only;
    return options;
}

void decide(stack::Probe& probe, Answer answer) {
    probe.decide = [answer](const dmcore::Bio&) { return answer; };
}

}  // namespace

Served::Served(const Traffic& traffic)
    : device_(world_.device("disk", traffic_tables[traffic.table], options_of(traffic))),
      table_(traffic.table) {
    ExportInfo info = nbd_test::export_named("disk");
    info.size_bytes = device_.lane(0).limits().size_sectors * dmcore::sector_bytes;
    info.read_only = traffic.read_only;
    info.max_payload_bytes = traffic_payload_bytes_max;
    info.fast_zero = device_.lane(0).limits().fast_zero;
    terms_.form = traffic.form;
    if (traffic.form != Form::simple) {
        terms_.contexts = bit_of(MetaContext::allocation) | bit_of(MetaContext::map);
    }
    terms_.transmission_flags = transmission_flags(info, terms_.form);
    session_ = std::make_unique<Session>(
        device_.lane(0), info, terms_, resources_, [](void*) noexcept {}, nullptr);
    session_->count_in(counts_, world_.clock);
}

Served::~Served() {
    die();
    all_good();
    world_.pass(std::chrono::hours(1));
    must(session_->idle(), "nothing of a dead session is left");
    session_.reset();
    must(buffers_.used_bytes() == 0, "all buffers are given back");
    must(resources_.loans.in_use() == 0, "all loans are given back");
    must(resources_.transfers.in_use() == 0 && resources_.inquiries.in_use() == 0,
         "all pools are full again");
    must(world_.idle(), "the device is idle");
}

void Served::arrive(const std::string& stream, std::size_t end) {
    const auto all = std::as_bytes(std::span(stream)).first(end);
    for (bool more = true; more && session_->may_read();) {
        const auto room = session_->payload_room();
        if (!room.empty() && taken_ < end && (end & 1) != 0) {  // As a connection reads.
            const auto part = all.subspan(taken_, std::min(room.size(), end - taken_));
            std::ranges::copy(part, room.begin());
            session_->payload_arrived(part.size());
            taken_ += part.size();
            continue;
        }
        const bool waited = session_->waits();
        const std::size_t bytes = session_->feed(all.subspan(taken_));
        must(bytes <= end - taken_, "no more is taken than there is");
        taken_ += bytes;
        more = bytes > 0 && taken_ < end;
        must(session_->in_flight() <= server::limits::requests_in_flight_max, "bounds hold");
        must(bytes > 0 || waited || session_->waits() || taken_ == end || !session_->may_read(),
             "who may read takes something");
        world_.run();
    }
    world_.run();
}

/// False: there was nothing.
bool Served::send(std::size_t bytes) {
    std::array<iovec, 6> pieces;
    bool any = false;
    while (bytes > 0) {
        const std::size_t count = session_->output(pieces);
        if (count == 0) break;
        std::size_t sent = 0;
        for (std::size_t i = 0; i < count && sent < bytes; ++i) {
            const std::size_t part = std::min(pieces[i].iov_len, bytes - sent);
            said_.append(static_cast<const char*>(pieces[i].iov_base), part);
            sent += part;
        }
        must(sent > 0, "no piece is empty");
        session_->sent(sent);
        bytes -= sent;
        any = true;
    }
    return any;
}

void Served::happen(const Traffic::Event& event) {
    using Kind = Traffic::Kind;
    switch (event.kind) {
        case Kind::cut: break;
        case Kind::send: send(event.value); break;
        case Kind::keep: decide(d_, Answer::keep), decide(e_, Answer::keep); break;
        case Kind::fail: decide(event.value % 2 == 0 ? d_ : e_, Answer::fail); break;
        case Kind::requeue: decide(event.value % 2 == 0 ? d_ : e_, Answer::requeue); break;
        case Kind::good: d_.decide = e_.decide = nullptr; break;
        case Kind::finish: finish(event.value); break;
        case Kind::suspend: suspend(event.value % 2 != 0); break;
        case Kind::resume: resume(event.value % 2 != 0); break;
        case Kind::hog: hog(); break;
        case Kind::unhog: unhog(); break;
        case Kind::pass: world_.pass(std::chrono::milliseconds(event.value)); break;
        case Kind::drain:
            session_->drain();
            ended_ = true;
            break;
        case Kind::shut_down:
            session_->shut_down();
            device_.lane(0).abandon(session_->origin());
            ended_ = true;
            break;
        case Kind::die: die(); break;
    }
    world_.run();
}

void Served::finish(std::uint64_t which) {
    stack::Probe& probe = which % 2 == 0 ? d_ : e_;
    if (probe.kept.empty()) return;
    const auto one = probe.kept.begin() + static_cast<long>(which / 2 % probe.kept.size());
    dmcore::Bio& bio = **one;
    probe.kept.erase(one);
    if (which / 2 % 5 == 0) {
        bio.fail(probe.failure, bio.iter.sector);
    } else {
        probe.finish(bio);
    }
}

void Served::suspend(bool noflush) {
    if (device_.suspended() || suspending_) return;
    suspending_ = true;
    device_.suspend(noflush, [this] { suspending_ = false; });
}

void Served::resume(bool new_table) {
    if (suspending_) {
        device_.undo_suspend([] {});
        suspending_ = false;
        return;
    }
    if (!device_.suspended()) return;
    if (new_table) {
        moved_ = true;
        table_ = (table_ + 1) % std::size(traffic_tables);
        device_.load(world_.build("disk", traffic_tables[table_]));
    }
    device_.resume([] {});
}

void Served::hog() {
    if (hogged_ != nullptr) return;
    for (hogged_bytes_ = budget_bytes; hogged_ == nullptr && hogged_bytes_ > 4096;) {
        hogged_bytes_ /= 2;
        hogged_ = buffers_.take(hogged_bytes_);
    }
}

void Served::unhog() {
    if (hogged_ != nullptr) buffers_.give(hogged_, hogged_bytes_);
    hogged_ = nullptr;
}

void Served::all_good() {
    unhog();
    d_.decide = e_.decide = nullptr;
    d_.finish_kept();
    e_.finish_kept();
    world_.run();
    if (suspending_ || device_.suspended()) resume(false);
    world_.run();
}

void Served::settle(const std::string& stream, std::size_t end) {
    all_good();
    for (bool more = true; more;) {
        const std::size_t before = taken_;
        arrive(stream, end);
        world_.pass(std::chrono::minutes(1));  // Retries come to their ends.
        more = send(SIZE_MAX) || taken_ != before;
    }
}

void Served::die() {
    if (dead_) return;
    dead_ = ended_ = true;
    session_->die();
    device_.lane(0).abandon(session_->origin());
    std::array<iovec, 2> pieces;
    must(session_->output(pieces) == 0, "the dead say nothing");
}

std::uint64_t Served::counted() const {
    std::uint64_t sum = 0;
    for (const auto& op : counts_.by_op) sum += op.durations.count();
    return sum;
}

}  // namespace fuzz
