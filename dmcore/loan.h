#pragma once

#include <cstddef>

#include "dmcore/bio.h"
#include "dmcore/pool.h"
#include "dmcore/shared_bytes.h"

namespace dmcore {

/// Bytes that a store has lent to a read, in place of filling the reader's own memory.
struct Loan : Link {
    std::byte* place = nullptr;  // In the reader's memory: where they belong.
    std::byte* data = nullptr;
    std::size_t bytes = 0;
    SharedBytes* lender = nullptr;

    std::byte* place_end() const noexcept { return place + bytes; }
};

/// What one read has been lent so far. A bio that names one takes loans from any store below; what
/// nobody lent is in its segments. Saves the copy, and keeps what was read as it was, whatever is
/// written meanwhile [O-8]. On the reader's shard only.
class Loans {
  public:
    Loans() = default;
    Loans(const Loans&) = delete;
    Loans& operator=(const Loans&) = delete;
    ~Loans() { give_back(); }

    /// Where loans come from, and how many there can be at a time: each may keep a whole
    /// SharedBytes from being freed. Borrowed.
    void set_pool(Pool<Loan>& pool) noexcept { pool_ = &pool; }

    /// `bytes` of `lender` from `data` on stand for those at `place`, which nothing that was lent
    /// before does. False: no more can be lent, fill the place.
    bool add(std::byte* place, std::byte* data, std::size_t bytes, SharedBytes& lender) noexcept;
    /// All of it.
    void give_back() noexcept;
    /// What stands for any of the bytes that `iter` has left: they are to be read once more.
    void give_back(const BioIter& iter, const Segment* segments) noexcept;

    /// Calls `visit(std::byte* data, std::size_t bytes)` for each piece of what was read to `place`
    /// on, in order, until it returns false.
    template <class Visit>
    void for_each_piece(std::byte* place, std::size_t bytes, Visit&& visit) const {
        std::byte* const end = place + bytes;
        const Loan* loan = following(before_);
        while (place != end) {
            while (loan != nullptr && loan->place_end() <= place) loan = following(*loan);
            const bool lent = loan != nullptr && loan->place <= place;
            std::byte* stop = loan == nullptr ? end : lent ? loan->place_end() : loan->place;
            if (stop > end) stop = end;
            std::byte* const data = lent ? loan->data + (place - loan->place) : place;
            if (!visit(data, static_cast<std::size_t>(stop - place))) return;
            place = stop;
        }
    }

  private:
    static Loan* following(const Link& link) noexcept { return static_cast<Loan*>(link.next); }
    void give_back(std::byte* from, std::byte* to) noexcept;

    Pool<Loan>* pool_ = nullptr;
    Link before_;  // The first; they are in the order of their places.
    Link* last_ = &before_;
};

}  // namespace dmcore
