#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "dmcore/agenda.h"
#include "dmcore/device.h"
#include "server/stores/file.h"
#include "server/stores/inbox.h"
#include "server/stores/ring.h"

namespace server {

class FileQueue;

/// The threads that run the bios of all file stores: a few for each store that has been open, and
/// no store uses more than its share, so that a slow one stalls nobody else. A thread goes on from
/// store to store: waking one costs as much as a small write.
class FileThreads {
  public:
    FileThreads() = default;
    /// After the last FileQueue.
    ~FileThreads();
    FileThreads(const FileThreads&) = delete;
    FileThreads& operator=(const FileThreads&) = delete;

  private:
    friend FileQueue;

    void add();
    void submit(FileQueue& queue, unsigned shard, FileStore::Bios& bios) noexcept;
    void wait_for_end(FileQueue& queue);
    void work();
    void list(FileQueue& queue) noexcept;
    bool must_wake() noexcept;

    std::mutex mutex_;  // Guards all that follows, and the queues.
    std::condition_variable more_;
    std::condition_variable ended_;
    dmcore::Queue<FileQueue> ready_;  // Those with bios that a thread may take.
    std::size_t queues_ = 0;
    std::size_t idle_ = 0;  // Threads that wait, of which...
    bool waking_ = false;   // ...one has been woken and wakes the next if there is more.
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

/// What one file store still has to do, from all shards.
class FileQueue : public dmcore::Link {
  public:
    /// `inboxes`: one a shard; they outlive this.
    FileQueue(std::shared_ptr<FileThreads> threads, std::shared_ptr<FileStore> store,
              const std::vector<Inbox*>& inboxes);
    /// Finishes what is queued.
    ~FileQueue();
    FileQueue(const FileQueue&) = delete;
    FileQueue& operator=(const FileQueue&) = delete;

    FileStore& store() noexcept { return *store_; }
    /// Takes all of `bios`; each comes back through that shard's inbox. On the shard.
    void submit(unsigned shard, FileStore::Bios& bios) noexcept {
        threads_->submit(*this, shard, bios);
    }

  private:
    friend FileThreads;

    struct Source {
        Inbox* inbox;
        FileStore::Bios bios;
    };

    bool empty() const noexcept;
    Source& next_source() noexcept;

    std::shared_ptr<FileThreads> threads_;
    std::shared_ptr<FileStore> store_;
    std::vector<Source> sources_;
    std::size_t turn_ = 0;     // Whose bios are next: shards take turns.
    std::size_t running_ = 0;  // Threads that are in the store.
    bool listed_ = false;      // As ready.
};

/// A file store as one shard sees it: hands on what came in one turn together, so that what lies
/// side by side is done in one call; to the ring, if there is one, else and what is not for it to
/// the threads. A read that is alone, and without a ring each, is first tried in the page cache.
class FileDevice final : public dmcore::BlockDevice, private FileRing::Fallback {
  public:
    /// `ring` may be null.
    FileDevice(std::shared_ptr<FileQueue> queue, unsigned shard, dmcore::Agenda& agenda,
               FileRing* ring = nullptr);

    void submit(dmcore::Bio& bio) noexcept override;
    const dmcore::Limits& limits() const noexcept override { return queue_->store().limits(); }
    const std::string& name() const noexcept override { return queue_->store().name(); }
    std::string identity() const override { return queue_->store().file()->data_identity(); }

  private:
    void start_turn() noexcept;
    void try_cache() noexcept;
    void try_ring(FileStore::Bios& bios) noexcept;
    void hand_over(FileStore::Bios& run) noexcept override { queue_->submit(shard_, run); }

    std::shared_ptr<FileQueue> queue_;
    FileRing* const ring_;
    const unsigned shard_;
    dmcore::Agenda& agenda_;
    FileStore::Bios reads_;    // Of this turn...
    FileStore::Bios waiting_;  // ...and all else.
    dmcore::Work turn_;
};

}  // namespace server
