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

namespace server {

/// The threads that run one file store's bios for all shards. Threads of its own, so that a slow
/// store stalls nobody else.
class FileThreads {
  public:
    /// `inboxes`: one a shard; they outlive this.
    FileThreads(std::shared_ptr<FileStore> store, const std::vector<Inbox*>& inboxes);
    /// Finishes what is queued.
    ~FileThreads();
    FileThreads(const FileThreads&) = delete;
    FileThreads& operator=(const FileThreads&) = delete;

    FileStore& store() noexcept { return *store_; }
    /// Takes all of `bios`; each comes back through that shard's inbox. On the shard.
    void submit(unsigned shard, dmcore::Queue<dmcore::Bio>& bios);

  private:
    struct Source {
        Inbox* inbox;
        dmcore::Queue<dmcore::Bio> bios;
    };

    void work();
    Source* next_source() noexcept;

    std::shared_ptr<FileStore> store_;
    std::mutex mutex_;  // Guards all but the threads.
    std::condition_variable more_;
    std::vector<Source> sources_;
    std::size_t turn_ = 0;  // Whose bio is next: shards take turns.
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

/// A file store as one shard sees it: reads what the page cache has at once, and hands the rest to
/// the threads, all of one turn together.
class FileDevice final : public dmcore::BlockDevice {
  public:
    FileDevice(std::shared_ptr<FileThreads> threads, unsigned shard, dmcore::Agenda& agenda);

    void submit(dmcore::Bio& bio) noexcept override;
    const dmcore::Limits& limits() const noexcept override { return threads_->store().limits(); }
    const std::string& name() const noexcept override { return threads_->store().name(); }

  private:
    std::shared_ptr<FileThreads> threads_;
    const unsigned shard_;
    dmcore::Agenda& agenda_;
    dmcore::Queue<dmcore::Bio> turn_;
    dmcore::Work hand_over_;
};

}  // namespace server
