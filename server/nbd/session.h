#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "dmcore/lane.h"
#include "dmcore/loan.h"
#include "server/limits.h"
#include "server/nbd/buffers.h"
#include "server/nbd/counts.h"
#include "server/nbd/handshake.h"
#include "server/nbd/inquiry.h"
#include "server/nbd/reply.h"
#include "server/nbd/request.h"

namespace server::nbd {

class Session;

/// One request from its header to the last byte of its reply.
struct Transfer : dmcore::Link {
    Session* session = nullptr;
    Request request;
    dmcore::Bio bio;
    dmcore::Segment segment;     // Its data; null without any.
    dmcore::Loans loans;         // In the stead of some of what it reads.
    Inquiry* inquiry = nullptr;  // Of one that asks about data.
    std::size_t head_bytes = 0;  // Of the reply, or its chunk, not sent yet...
    std::size_t data_bytes = 0;  // ...and of its data,
    std::size_t data_at = 0;     // from here in the segment on.
    std::size_t more_bytes = 0;  // Of what was read, for the chunks that follow.
    bool at_device = false;      // The bio has not ended yet.
    dmcore::Time began_at{};
    dmcore::Hold* hold = nullptr;  // Its connection died while a store had it [O-1].
    ReplyHead head;
    Transfer* previous = nullptr;  // All of a session.
    Transfer* following = nullptr;
};

/// What the sessions of one shard share.
struct SessionResources {
    dmcore::Agenda& agenda;
    Buffers& buffers;
    dmcore::Pool<dmcore::Loan> loans{limits::loans_per_shard};
    dmcore::Pool<Transfer> transfers{SIZE_MAX};  // Bounded by connections x requests in flight,
    dmcore::Pool<Inquiry> inquiries{SIZE_MAX};   // and these by the buffers that they need.
};

/// The transmission phase of one connection: bytes in, bios to the device, bytes out. Does no I/O
/// of its own. Used on its shard only; must outlive its requests (see idle()).
class Session {
  public:
    /// Called when there may be something new to send, or the session became idle.
    using Wake = void (*)(void* owner) noexcept;

    Session(dmcore::Lane& lane, ExportInfo info, Terms terms, SessionResources& shared, Wake wake,
            void* owner);
    ~Session();
    /// Every answer from now on is counted there, and how long it took by this clock; both are
    /// borrowed.
    void count_in(RequestCounts& counts, const dmcore::Clock& clock) noexcept {
        counts_ = &counts;
        clock_ = &clock;
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Room that the next bytes from the client should be read into first; may be empty.
    std::span<std::byte> payload_room() noexcept;
    /// That many bytes have been put there.
    void payload_arrived(std::size_t bytes) noexcept;
    /// Takes bytes that follow, as many as it can now; returns how many. What it leaves (because a
    /// bound is reached, see may_read()) must be fed again.
    std::size_t feed(ByteSpan in) noexcept;
    /// False: feed nothing until something ends; a bound is reached.
    bool may_read() const noexcept;
    /// A request has been received and waits for a bound: feed even nothing once may_read().
    bool waits() const noexcept { return decided_; }

    /// The first bytes of a request that has not arrived whole.
    std::span<const std::byte> begun_header() const noexcept {
        return std::span(header_).first(header_bytes_);
    }

    /// The client has announced a payload and has to send it; nothing of ours is in its way.
    bool awaits_payload() const noexcept { return receiving_ != nullptr && wanted_bytes_ == 0; }

    /// Fills `pieces` with what is to be sent; returns how many.
    std::size_t output(std::span<iovec> pieces) const noexcept;
    void sent(std::size_t bytes) noexcept;

    /// The client said DISC, or drain() was called: answer what is in flight, then close.
    bool leaving() const noexcept { return leaving_; }
    /// The stream can't be trusted: close at once. Says why; empty: it can.
    const std::string& fault() const noexcept { return fault_; }
    /// Nothing in flight and nothing to send.
    bool idle() const noexcept { return in_flight_ == 0; }
    std::size_t in_flight() const noexcept { return in_flight_; }

    /// Takes no more requests; one whose payload has not arrived is forgotten.
    void drain() noexcept;
    /// The connection is gone: nothing of it is issued any more, no reply is kept [O-2], [O-1]. The
    /// caller tells every lane of the shard to abandon origin().
    void die() noexcept;
    /// Has what is not yet in a store's hands end with `shutdown`, answered as such. The caller
    /// tells the lanes, as for die().
    void shut_down() noexcept;
    const dmcore::Origin& origin() const noexcept { return origin_; }

    const ExportInfo& info() const noexcept { return info_; }
    Form form() const noexcept { return terms_.form; }

  private:
    std::size_t take_header(ByteSpan in) noexcept;
    bool take_request() noexcept;
    std::size_t take_payload(ByteSpan in) noexcept;
    void payload_done() noexcept;
    Transfer& begin(const Request& request) noexcept;
    bool room_for(const Request& request) const noexcept;
    void serve(Transfer& transfer) noexcept;
    void inquire(Transfer& transfer) noexcept;
    void inquired(Transfer& transfer) noexcept;
    void answer(Transfer& transfer, NbdError error, std::string_view message) noexcept;
    void reply(Transfer& transfer, NbdError error) noexcept;
    void release(Transfer& transfer) noexcept;
    void release_data(Transfer& transfer) noexcept;
    bool take_data(Transfer& transfer) noexcept;
    static void bio_done(dmcore::Bio& bio) noexcept;
    void ended(Transfer& transfer) noexcept;
    void answer_read(Transfer& transfer) noexcept;
    void next_chunk(Transfer& transfer) noexcept;
    ReplyTo reply_to(const Transfer& transfer) const noexcept {
        return {terms_.form, transfer.request.cookie, transfer.request.offset_bytes};
    }
    void refresh_info() noexcept;

    dmcore::Lane& lane_;
    ExportInfo info_;
    Terms terms_;
    SessionResources& shared_;
    Wake wake_;
    void* owner_;
    dmcore::Origin origin_;
    RequestCounts* counts_ = nullptr;  // Null: nobody counts, and the clock is null as well.
    const dmcore::Clock* clock_ = nullptr;

    std::array<std::byte, sizeof(ExtendedRequestHeader)> header_{};
    std::size_t header_bytes_ = 0;  // Of header_ received.
    Decision decision_{};           // About header_, while its request is not begun yet...
    bool decided_ = false;
    Transfer* receiving_ = nullptr;   // ...or its payload is arriving,
    std::uint32_t payload_left_ = 0;  // this much of it still.
    std::size_t wanted_bytes_ = 0;    // Of a buffer that was not to be had; 0: none.

    dmcore::Queue<Transfer> replies_;  // In the order of their ends.
    Transfer* all_ = nullptr;
    std::size_t in_flight_ = 0;
    std::size_t bytes_in_flight_ = 0;
    std::size_t unsent_bytes_ = 0;  // Of replies.
    std::size_t read_bytes_ = 0;    // Asked for by this feed().
    bool leaving_ = false;
    bool mute_ = false;  // Nobody is there to hear a reply.
    std::string fault_;
};

}  // namespace server::nbd
