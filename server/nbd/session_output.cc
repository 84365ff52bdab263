#include "server/nbd/session.h"
#include "server/nbd/sparse.h"

// What a session has to say: replies, one after another, and the chunks of each.
namespace server::nbd {

/// Zeroes of a READ are told, not sent, to a client that takes chunks and did not ask for one only.
void Session::answer_read(Transfer& transfer) noexcept {
    const auto bytes = static_cast<std::uint32_t>(transfer.request.length_bytes);
    if (terms_.form == Form::simple || transfer.request.df) {
        transfer.head =
            data_reply(reply_to(transfer), transfer.request.offset_bytes, bytes, Last::yes);
        transfer.data_bytes = bytes;
    } else {
        transfer.more_bytes = bytes;
        next_chunk(transfer);
    }
    reply(transfer, NbdError::none);
}

void Session::next_chunk(Transfer& transfer) noexcept {
    const auto all = static_cast<std::size_t>(transfer.request.length_bytes);
    const std::size_t at = all - transfer.more_bytes;
    const Run run = first_run(transfer.loans, transfer.segment.data + at, transfer.more_bytes,
                              hole_bytes_min(all));
    transfer.more_bytes -= run.bytes;
    const Last last = transfer.more_bytes == 0 ? Last::yes : Last::no;
    const std::uint64_t offset_bytes = transfer.request.offset_bytes + at;
    const auto bytes = static_cast<std::uint32_t>(run.bytes);
    const ReplyTo to = reply_to(transfer);
    transfer.head = run.zero ? hole_reply(to, offset_bytes, bytes, last)
                             : data_reply(to, offset_bytes, bytes, last);
    transfer.head_bytes = transfer.head.bytes().size();
    transfer.data_at = at;
    transfer.data_bytes = run.zero ? 0 : run.bytes;
}

std::size_t Session::output(std::span<iovec> pieces) const noexcept {
    std::size_t count = 0;
    for (const Transfer* each = replies_.front(); each != nullptr;
         each = static_cast<const Transfer*>(each->next)) {
        if (count + 2 > pieces.size()) break;
        const auto head = each->head.bytes().last(each->head_bytes);
        if (!head.empty()) {
            pieces[count++] = {const_cast<std::byte*>(head.data()), head.size()};
        }
        if (each->data_bytes == 0) continue;
        std::byte* const rest = each->segment.data + each->data_at;
        each->loans.for_each_piece(rest, each->data_bytes, [&](std::byte* data, std::size_t bytes) {
            pieces[count++] = {data, bytes};
            return count < pieces.size();
        });
    }
    return count;
}

void Session::sent(std::size_t bytes) noexcept {
    unsent_bytes_ -= bytes;
    // Each reply has sent one chunk in turn, as output() gave them.
    while (Transfer* first = replies_.front()) {
        const std::size_t head = std::min(bytes, first->head_bytes);
        first->head_bytes -= head;
        bytes -= head;
        const std::size_t data = std::min(bytes, first->data_bytes);
        first->data_bytes -= data;
        first->data_at += data;
        bytes -= data;
        if (first->head_bytes != 0 || first->data_bytes != 0) return;
        replies_.pop();
        if (first->more_bytes == 0) {
            release(*first);
            continue;
        }
        next_chunk(*first);
        unsent_bytes_ += first->head_bytes + first->data_bytes;
        replies_.push_back(*first);  // Others have been sent behind it.
    }
}

}  // namespace server::nbd
