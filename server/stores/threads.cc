#include "server/stores/threads.h"

#include "server/limits.h"

namespace server {

FileThreads::FileThreads(std::shared_ptr<FileStore> store, const std::vector<Inbox*>& inboxes)
    : store_(std::move(store)), sources_(inboxes.size()) {
    for (std::size_t i = 0; i < inboxes.size(); ++i) sources_[i].inbox = inboxes[i];
    for (std::size_t i = 0; i < limits::threads_per_file; ++i) {
        threads_.emplace_back([this] { work(); });
    }
}

FileThreads::~FileThreads() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    more_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void FileThreads::submit(unsigned shard, dmcore::Queue<dmcore::Bio>& bios) {
    const std::size_t count = bios.count();
    {
        const std::lock_guard lock(mutex_);
        sources_[shard].bios.append(bios);
    }
    if (count == 1) {
        more_.notify_one();
    } else {
        more_.notify_all();
    }
}

FileThreads::Source* FileThreads::next_source() noexcept {
    for (std::size_t i = 0; i < sources_.size(); ++i) {
        Source& source = sources_[turn_++ % sources_.size()];
        if (!source.bios.empty()) return &source;
    }
    return nullptr;
}

void FileThreads::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        Source* source = next_source();
        if (source == nullptr) {
            if (stopping_) return;
            more_.wait(lock);
            continue;
        }
        dmcore::Bio& bio = *source->bios.pop();
        lock.unlock();
        store_->run(bio);
        source->inbox->finished(bio);
        lock.lock();
    }
}

FileDevice::FileDevice(std::shared_ptr<FileThreads> threads, unsigned shard, dmcore::Agenda& agenda)
    : threads_(std::move(threads)),
      shard_(shard),
      agenda_(agenda),
      hand_over_(
          [](void* self) noexcept {
              auto& device = *static_cast<FileDevice*>(self);
              device.threads_->submit(device.shard_, device.turn_);
          },
          this) {}

void FileDevice::submit(dmcore::Bio& bio) noexcept {
    if (bio.op == dmcore::Op::read && threads_->store().try_read(bio)) {
        bio.end();
        return;
    }
    turn_.push_back(bio);
    agenda_.add(hand_over_);
}

}  // namespace server
