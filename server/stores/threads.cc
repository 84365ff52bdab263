#include "server/stores/threads.h"

#include <algorithm>
#include <cassert>

#include "server/limits.h"

namespace server {

FileThreads::~FileThreads() {
    {
        const std::lock_guard lock(mutex_);
        assert(queues_ == 0);
        stopping_ = true;
    }
    more_.notify_all();
    for (auto& thread : threads_) thread.join();
}

/// Makes the share of one more store.
void FileThreads::add() {
    const std::lock_guard lock(mutex_);
    while (threads_.size() < (queues_ + 1) * limits::threads_per_file) {
        threads_.emplace_back([this] { work(); });
    }
    ++queues_;
}

void FileThreads::submit(FileQueue& queue, unsigned shard, FileStore::Bios& bios) noexcept {
    std::unique_lock lock(mutex_);
    queue.sources_[shard].bios.append(bios);
    list(queue);
    const bool wakes = must_wake();
    lock.unlock();
    if (wakes) more_.notify_one();
}

void FileThreads::wait_for_end(FileQueue& queue) {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return queue.empty() && queue.running_ == 0; });
    --queues_;
}

/// Lets threads take from the queue, if there is something and it does not use its share yet.
void FileThreads::list(FileQueue& queue) noexcept {
    if (queue.listed_ || queue.running_ == limits::threads_per_file || queue.empty()) return;
    queue.listed_ = true;
    ready_.push_back(queue);
}

bool FileThreads::must_wake() noexcept {
    if (ready_.empty() || waking_ || idle_ == 0) return false;
    waking_ = true;
    return true;
}

void FileThreads::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        FileQueue* const queue = ready_.pop();
        if (queue == nullptr) {
            if (stopping_) return;
            ++idle_;
            more_.wait(lock);
            --idle_;
            waking_ = false;
            continue;
        }
        queue->listed_ = false;
        ++queue->running_;
        FileQueue::Source& source = queue->next_source();
        FileStore::Bios run;
        FileStore::take_run(source.bios, run);
        list(*queue);
        const bool wakes = must_wake();
        lock.unlock();
        if (wakes) more_.notify_one();
        queue->store_->run(run);
        source.inbox->finished(run);
        lock.lock();
        --queue->running_;
        list(*queue);
        if (queue->running_ == 0) ended_.notify_all();
    }
}

FileQueue::FileQueue(std::shared_ptr<FileThreads> threads, std::shared_ptr<FileStore> store,
                     const std::vector<Inbox*>& inboxes)
    : threads_(std::move(threads)), store_(std::move(store)), sources_(inboxes.size()) {
    for (std::size_t i = 0; i < inboxes.size(); ++i) sources_[i].inbox = inboxes[i];
    threads_->add();
}

FileQueue::~FileQueue() {
    threads_->wait_for_end(*this);
}

bool FileQueue::empty() const noexcept {
    return std::all_of(sources_.begin(), sources_.end(),
                       [](const Source& each) { return each.bios.empty(); });
}

/// One of them is not empty.
FileQueue::Source& FileQueue::next_source() noexcept {
    for (;;) {
        Source& source = sources_[turn_++ % sources_.size()];
        if (!source.bios.empty()) return source;
    }
}

FileDevice::FileDevice(std::shared_ptr<FileQueue> queue, unsigned shard, dmcore::Agenda& agenda,
                       FileRing* ring)
    : queue_(std::move(queue)),
      ring_(ring),
      shard_(shard),
      agenda_(agenda),
      turn_([](void* self) noexcept { static_cast<FileDevice*>(self)->start_turn(); }, this) {}

void FileDevice::submit(dmcore::Bio& bio) noexcept {
    (bio.op == dmcore::Op::read ? reads_ : waiting_).push_back(bio);
    agenda_.add(turn_);
}

/// From two reads on the ring is the shorter way to the page cache, too.
void FileDevice::start_turn() noexcept {
    const bool one = !reads_.empty() && reads_.front()->next == nullptr;
    if (ring_ == nullptr || one) try_cache();
    if (ring_ != nullptr) {
        try_ring(reads_);
        try_ring(waiting_);
    }
    waiting_.append(reads_);
    if (!waiting_.empty()) queue_->submit(shard_, waiting_);
}

void FileDevice::try_cache() noexcept {
    FileStore::Bios all;
    all.append(reads_);
    while (!all.empty()) {
        FileStore::Bios run;
        FileStore::take_run(all, run);
        if (queue_->store().try_read(run)) {
            while (dmcore::Bio* bio = run.pop()) bio->end();
        } else {
            reads_.append(run);
        }
    }
}

/// Leaves what is for the threads: what is no read or write, has to be durable, or finds no place.
void FileDevice::try_ring(FileStore::Bios& bios) noexcept {
    FileStore::Bios all;
    all.append(bios);
    while (!all.empty()) {
        FileStore::Bios run;
        FileStore::take_run(all, run);
        const dmcore::Bio& first = *run.front();
        const bool plain = has_data(first.op) && !first.fua;
        if (!plain || !ring_->submit(queue_->store(), run, *this)) bios.append(run);
    }
}

}  // namespace server
