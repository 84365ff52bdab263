#include "server/nbd/session.h"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstring>

#include "server/limits.h"
#include "server/nbd/error.h"

namespace server::nbd {

static_assert(limits::receive_bytes + limits::requests_in_flight_max * sizeof(Transfer) <=
              limits::connection_overhead_bytes);

namespace {

dmcore::Op op_of(Command command) noexcept {
    switch (command) {
        case Command::write: return dmcore::Op::write;
        case Command::flush: return dmcore::Op::flush;
        case Command::trim: return dmcore::Op::discard;
        case Command::write_zeroes: return dmcore::Op::write_zeroes;
        default: return dmcore::Op::read;
    }
}

/// Of memory, for what it reads, writes or answers.
std::size_t buffer_bytes(const Request& request) noexcept {
    switch (request.command) {
        case Command::read:
        case Command::write: return static_cast<std::size_t>(request.length_bytes);
        case Command::cache:
        case Command::block_status: return Inquiry::room_bytes;
        default: return 0;
    }
}

/// What a client that understands error texts is told.
std::string_view failure_text(const dmcore::Failure& why, std::span<char> text) noexcept {
    if (why.where == nullptr) return dmcore::text_of(why.status);
    const std::string_view what = dmcore::text_of(why.status);
    const auto sector = static_cast<unsigned long long>(why.sector);
    const int length =
        why.injected ? std::snprintf(text.data(), text.size(), "injected: %s at sector %llu",
                                     why.where, sector)
                     : std::snprintf(text.data(), text.size(), "%.*s: %s at sector %llu",
                                     static_cast<int>(what.size()), what.data(), why.where, sector);
    return {text.data(), std::min(text.size() - 1, static_cast<std::size_t>(length))};
}

}  // namespace

Session::Session(dmcore::Lane& lane, ExportInfo info, Terms terms, SessionResources& shared,
                 Wake wake, void* owner)
    : lane_(lane),
      info_(std::move(info)),
      terms_(terms),
      shared_(shared),
      wake_(wake),
      owner_(owner) {}

Session::~Session() {
    assert(idle());
}

std::span<std::byte> Session::payload_room() noexcept {
    if (receiving_ == nullptr || receiving_->segment.data == nullptr) return {};
    const std::size_t done = receiving_->segment.bytes - payload_left_;
    return {receiving_->segment.data + done, payload_left_};
}

void Session::payload_arrived(std::size_t bytes) noexcept {
    assert(bytes <= payload_left_);
    payload_left_ -= static_cast<std::uint32_t>(bytes);
    if (receiving_ != nullptr && payload_left_ == 0) payload_done();
}

std::size_t Session::feed(ByteSpan in) noexcept {
    std::size_t taken = 0;
    read_bytes_ = 0;
    for (;;) {
        if (!fault_.empty() || leaving_) return in.size();  // What follows a DISC is ignored.
        const ByteSpan rest = in.subspan(taken);
        if (decided_) {
            if (!take_request()) return taken;
        } else if (receiving_ != nullptr) {
            const std::size_t bytes = take_payload(rest);
            if (bytes == 0) return taken;
            taken += bytes;
        } else if (rest.empty()) {
            return taken;
        } else {
            taken += take_header(rest);
        }
    }
}

std::size_t Session::take_header(ByteSpan in) noexcept {
    const std::span<std::byte> header = std::span(header_).first(header_bytes(terms_.form));
    const std::size_t bytes = std::min(in.size(), header.size() - header_bytes_);
    std::memcpy(header.data() + header_bytes_, in.data(), bytes);
    header_bytes_ += bytes;
    if (header_bytes_ == header.size()) {
        header_bytes_ = 0;
        refresh_info();
        decision_ = decide(header, info_, terms_);
        decided_ = true;
    }
    return bytes;
}

/// A table that grew or shrank counts from the next request on.
void Session::refresh_info() noexcept {
    info_.size_bytes = lane_.limits().size_sectors * dmcore::sector_bytes;
    info_.fast_zero = lane_.limits().fast_zero;
}

/// Acts on decision_. False: a bound is reached, come back when something has ended.
bool Session::take_request() noexcept {
    if (decision_.verdict == Verdict::drop || decision_.verdict == Verdict::disconnect) {
        leaving_ = decision_.verdict == Verdict::disconnect;
        if (!leaving_) fault_ = decision_.message;
        decided_ = false;  // It waits for nothing.
        return true;
    }
    if (read_bytes_ >= limits::read_ahead_bytes_max || !room_for(decision_.request)) return false;
    const bool fills = decision_.verdict == Verdict::serve &&
                       decision_.request.command != Command::write &&
                       buffer_bytes(decision_.request) > 0;
    Transfer& transfer = begin(decision_.request);
    if (fills && !take_data(transfer)) {
        release(transfer);
        return false;
    }
    if (fills) read_bytes_ += transfer.segment.bytes;
    decided_ = false;
    payload_left_ = decision_.payload_bytes;
    receiving_ = &transfer;
    if (payload_left_ == 0) payload_done();
    return true;
}

bool Session::room_for(const Request& request) const noexcept {
    const std::size_t bytes =
        decision_.verdict == Verdict::serve ? buffer_bytes(request) : std::size_t{0};
    return in_flight_ < limits::requests_in_flight_max &&
           unsent_bytes_ < limits::read_ahead_bytes_max &&
           bytes_in_flight_ + bytes <= limits::connection_bytes_max;
}

bool Session::may_read() const noexcept {
    if (!fault_.empty() || leaving_) return true;
    if (wanted_bytes_ != 0 && !shared_.buffers.fits(wanted_bytes_)) return false;
    if (receiving_ != nullptr) return true;
    if (lane_.congested()) return false;
    if (decided_) return room_for(decision_.request);
    return in_flight_ < limits::requests_in_flight_max &&
           unsent_bytes_ < limits::read_ahead_bytes_max;
}

std::size_t Session::take_payload(ByteSpan in) noexcept {
    if (in.empty()) return 0;
    const std::size_t bytes = std::min<std::size_t>(in.size(), payload_left_);
    if (decision_.verdict == Verdict::serve) {
        // Taken only now: a client that announces data and sends none costs no memory.
        if (receiving_->segment.data == nullptr && !take_data(*receiving_)) return 0;
        std::memcpy(payload_room().data(), in.data(), bytes);
    }
    payload_arrived(bytes);
    return bytes;
}

void Session::payload_done() noexcept {
    Transfer& transfer = *receiving_;
    receiving_ = nullptr;
    if (decision_.verdict == Verdict::answer) {
        answer(transfer, decision_.error, decision_.message);
    } else {
        serve(transfer);
    }
}

Transfer& Session::begin(const Request& request) noexcept {
    Transfer& transfer = *shared_.transfers.take();
    transfer.session = this;
    transfer.request = request;
    transfer.loans.set_pool(shared_.loans);
    transfer.segment = {};
    transfer.inquiry = nullptr;
    transfer.data_bytes = transfer.data_at = transfer.more_bytes = 0;
    transfer.hold = nullptr;
    transfer.at_device = false;
    if (clock_ != nullptr) transfer.began_at = clock_->now();
    transfer.previous = nullptr;
    transfer.following = all_;
    if (all_ != nullptr) all_->previous = &transfer;
    all_ = &transfer;
    ++in_flight_;
    return transfer;
}

bool Session::take_data(Transfer& transfer) noexcept {
    const std::size_t bytes = buffer_bytes(transfer.request);
    const bool write = transfer.request.command == Command::write;
    std::byte* data = write ? shared_.buffers.take_shared(bytes) : nullptr;
    const bool shared = data != nullptr;
    if (!shared) data = shared_.buffers.take(bytes);
    wanted_bytes_ = data == nullptr ? bytes : 0;
    if (data == nullptr) return false;
    transfer.segment = {data, bytes, shared};
    bytes_in_flight_ += bytes;
    return true;
}

void Session::serve(Transfer& transfer) noexcept {
    const Request& request = transfer.request;
    dmcore::Bio& bio = transfer.bio;
    bio = dmcore::Bio{};
    if (request.command == Command::block_status || request.command == Command::cache) {
        return inquire(transfer);
    }
    bio.op = op_of(request.command);
    bio.fua = request.fua;
    bio.no_unmap = request.no_hole;
    bio.iter.sector = request.offset_bytes / dmcore::sector_bytes;
    bio.iter.bytes = request.length_bytes;
    bio.segments = &transfer.segment;
    if (bio.op == dmcore::Op::read) bio.loans = &transfer.loans;
    bio.done = bio_done;
    bio.owner = &transfer;
    bio.agenda = &shared_.agenda;
    bio.origin = &origin_;
    transfer.at_device = true;
    lane_.submit(bio);
}

void Session::inquire(Transfer& transfer) noexcept {
    transfer.inquiry = shared_.inquiries.take();
    transfer.at_device = true;
    transfer.inquiry->begin(lane_, transfer.request, terms_.contexts,
                            {transfer.segment.data, transfer.segment.bytes},
                            {.done =
                                 [](void* owner) noexcept {
                                     auto& asking = *static_cast<Transfer*>(owner);
                                     asking.session->inquired(asking);
                                 },
                             .owner = &transfer,
                             .agenda = shared_.agenda,
                             .origin = origin_});
}

void Session::inquired(Transfer& transfer) noexcept {
    transfer.at_device = false;
    const bool answers = transfer.request.command == Command::block_status;
    if (answers && !origin_.dead) {
        const std::span<const std::byte> said = transfer.inquiry->reply(reply_to(transfer));
        transfer.data_at = static_cast<std::size_t>(said.data() - transfer.segment.data);
        transfer.data_bytes = said.size();
    }
    shared_.inquiries.give(*transfer.inquiry);
    if (mute_) {
        release(transfer);
        wake_(owner_);
    } else if (origin_.dead) {
        answer(transfer, NbdError::shutdown, "the server is going away");
    } else if (answers) {
        transfer.head = ReplyHead{};  // All of it is in the buffer.
        reply(transfer, NbdError::none);
    } else {
        answer(transfer, NbdError::none, {});
    }
}

void Session::bio_done(dmcore::Bio& bio) noexcept {
    auto& transfer = *static_cast<Transfer*>(bio.owner);
    transfer.session->ended(transfer);
}

void Session::ended(Transfer& transfer) noexcept {
    transfer.at_device = false;
    const std::uint64_t sectors = transfer.request.length_bytes / dmcore::sector_bytes;
    if (transfer.hold != nullptr) lane_.release(*transfer.hold, sectors);
    if (mute_) {
        release(transfer);
        wake_(owner_);
        return;
    }
    const dmcore::Failure& failure = transfer.bio.failure;
    if (failure.status != dmcore::Status::ok) {
        std::array<char, 160> text;
        answer(transfer, error_from(failure.status), failure_text(failure, text));
        return;
    }
    if (transfer.request.command == Command::read) {
        answer_read(transfer);
    } else {
        answer(transfer, NbdError::none, {});
    }
}

void Session::answer(Transfer& transfer, NbdError error, std::string_view message) noexcept {
    const ReplyTo to = reply_to(transfer);
    transfer.head = error == NbdError::none ? done_reply(to) : error_reply(to, error, message);
    reply(transfer, error);
}

void Session::reply(Transfer& transfer, NbdError error) noexcept {
    if (counts_ != nullptr) {
        counts_->add(transfer.request.command, error, clock_->now() - transfer.began_at);
    }
    if (transfer.data_bytes + transfer.more_bytes == 0) release_data(transfer);
    transfer.head_bytes = transfer.head.bytes().size();
    unsent_bytes_ += transfer.head_bytes + transfer.data_bytes;
    replies_.push_back(transfer);
    wake_(owner_);
}

void Session::release_data(Transfer& transfer) noexcept {
    if (transfer.segment.data == nullptr) return;
    transfer.loans.give_back();
    if (transfer.segment.shared) {
        shared_.buffers.give_shared(transfer.segment.data, transfer.segment.bytes);
    } else {
        shared_.buffers.give(transfer.segment.data, transfer.segment.bytes);
    }
    bytes_in_flight_ -= transfer.segment.bytes;
    transfer.segment = {};
}

void Session::release(Transfer& transfer) noexcept {
    release_data(transfer);
    if (transfer.previous != nullptr) transfer.previous->following = transfer.following;
    if (transfer.following != nullptr) transfer.following->previous = transfer.previous;
    if (all_ == &transfer) all_ = transfer.following;
    --in_flight_;
    shared_.transfers.give(transfer);
}

void Session::drain() noexcept {
    leaving_ = true;
    decided_ = false;
    if (receiving_ == nullptr) return;
    release(*receiving_);
    receiving_ = nullptr;
}

void Session::shut_down() noexcept {
    origin_.dead = true;
    drain();
}

void Session::die() noexcept {
    shut_down();
    mute_ = true;
    while (Transfer* reply = replies_.pop()) release(*reply);
    unsent_bytes_ = 0;
    for (Transfer* each = all_; each != nullptr; each = each->following) {
        const dmcore::Bio& bio = each->bio;
        if (!each->at_device || !dmcore::is_write_like(bio.op)) continue;
        each->hold = lane_.hold(each->request.offset_bytes / dmcore::sector_bytes,
                                each->request.length_bytes / dmcore::sector_bytes);
    }
}

}  // namespace server::nbd
