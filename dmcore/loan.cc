#include "dmcore/loan.h"

#include <cassert>
#include <cstdint>

namespace dmcore {

bool Loans::add(std::byte* place, std::byte* data, std::size_t bytes,
                SharedBytes& lender) noexcept {
    Loan* loan = pool_->take();
    if (loan == nullptr) return false;
    lender.hold();
    loan->place = place;
    loan->data = data;
    loan->bytes = bytes;
    loan->lender = &lender;
    Link* previous = last_;
    if (last_ != &before_ && static_cast<Loan*>(last_)->place > place) {
        previous = &before_;
        while (following(*previous)->place < place) previous = previous->next;
    }
    loan->next = previous->next;
    previous->next = loan;
    if (loan->next == nullptr) last_ = loan;
    assert(previous == &before_ || static_cast<Loan*>(previous)->place_end() <= place);
    assert(loan->next == nullptr || loan->place_end() <= following(*loan)->place);
    return true;
}

void Loans::give_back() noexcept {
    give_back(nullptr, reinterpret_cast<std::byte*>(UINTPTR_MAX));
}

void Loans::give_back(const BioIter& iter, const Segment* segments) noexcept {
    dmcore::for_each_piece(
        iter, segments, [&](std::byte* data, std::size_t bytes) { give_back(data, data + bytes); });
}

/// Those that overlap [from, to).
void Loans::give_back(std::byte* from, std::byte* to) noexcept {
    Link* kept = &before_;
    while (Loan* loan = following(*kept)) {
        if (loan->place >= to || loan->place_end() <= from) {
            kept = loan;
            continue;
        }
        kept->next = loan->next;
        loan->lender->drop();
        pool_->give(*loan);
    }
    last_ = kept;
}

}  // namespace dmcore
