#pragma once

#include <cstddef>

namespace dmcore {

/// What an object needs to wait in a Queue: one object, one queue at a time.
struct Link {
    Link* next = nullptr;
};

/// Intrusive FIFO with insertion at the head (for requeued bios, dm-semantics 3.5). Owns nothing,
/// allocates nothing; one thread.
template <class T>
class Queue {
  public:
    Queue() = default;
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    bool empty() const noexcept { return head_ == nullptr; }
    T* front() const noexcept { return static_cast<T*>(head_); }

    void push_back(T& item) noexcept {
        Link& link = item;
        link.next = nullptr;
        if (head_ == nullptr) {
            head_ = &link;
        } else {
            tail_->next = &link;
        }
        tail_ = &link;
    }

    void push_front(T& item) noexcept {
        Link& link = item;
        link.next = head_;
        if (head_ == nullptr) tail_ = &link;
        head_ = &link;
    }

    T* pop() noexcept {
        Link* link = head_;
        if (link == nullptr) return nullptr;
        head_ = link->next;
        link->next = nullptr;
        return static_cast<T*>(link);
    }

    /// Moves everything of `other` behind what is here.
    void append(Queue& other) noexcept {
        if (other.head_ == nullptr) return;
        if (head_ == nullptr) {
            head_ = other.head_;
        } else {
            tail_->next = other.head_;
        }
        tail_ = other.tail_;
        other.head_ = nullptr;
    }

    /// Walks the whole queue.
    std::size_t count() const noexcept {
        std::size_t found = 0;
        for (const Link* link = head_; link != nullptr; link = link->next) ++found;
        return found;
    }

    /// Moves the elements for which `wanted(element)` holds to `taken`, in order.
    template <class Wanted>
    void take_if(Queue& taken, Wanted&& wanted) noexcept {
        Queue rest;
        while (T* item = pop()) (wanted(*item) ? taken : rest).push_back(*item);
        append(rest);
    }

  private:
    Link* head_ = nullptr;
    Link* tail_ = nullptr;
};

}  // namespace dmcore
