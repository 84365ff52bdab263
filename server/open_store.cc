#include "server/open_store.h"

#include <spdlog/spdlog.h>

#include "dmcore/stores/memory.h"
#include "server/identity.h"
#include "server/stores/file.h"
#include "server/stores/open_remote.h"
#include "server/stores/threads.h"

namespace server {
namespace {

class OpenMemory final : public OpenStore {
  public:
    OpenMemory(const config::StoreSpec& spec, Shards& shards)
        : OpenStore(spec),
          memory_(std::make_shared<dmcore::MemoryStore>(name(), spec.size_sectors)) {
        const std::string identity = new_memory_identity();
        for (unsigned i = 0; i < shards.shards(); ++i) {
            fronts_.push_back(std::make_unique<dmcore::MemoryDevice>(memory_, identity));
        }
    }

    std::uint64_t errors() const noexcept override { return memory_->errors(); }

  private:
    std::shared_ptr<dmcore::MemoryStore> memory_;
};

FileOptions options_of(const config::StoreSpec& spec) {
    return {.path = spec.path,
            .size_sectors = spec.size_sectors,
            .create = spec.create,
            .punch = spec.discard == config::StoreSpec::Discard::punch,
            .direct = spec.direct};
}

class OpenFileStore final : public OpenStore {
  public:
    OpenFileStore(const config::StoreSpec& spec, Shards& shards,
                  std::shared_ptr<FileThreads> threads, std::shared_ptr<OpenFile> file)
        : OpenStore(spec),
          store_(std::make_shared<FileStore>(name(), options_of(spec), std::move(file))) {
        const auto queue =
            std::make_shared<FileQueue>(std::move(threads), store_, shards.inboxes());
        const bool threads_only = spec.engine == config::StoreSpec::Engine::threads;
        for (unsigned i = 0; i < shards.shards(); ++i) {
            FileRing* const ring = threads_only ? nullptr : shards[i].file_ring();
            fronts_.push_back(std::make_unique<FileDevice>(queue, i, shards[i].agenda(), ring));
        }
        if (!threads_only && shards[0].file_ring() == nullptr) {
            spdlog::info("store '{}': there is no io_uring here, so threads do its I/O", name());
        }
    }

    std::shared_ptr<OpenFile> file() const noexcept override { return store_->file(); }
    std::uint64_t errors() const noexcept override { return store_->errors(); }
    bool sync() noexcept override { return store_->sync(); }

  private:
    std::shared_ptr<FileStore> store_;
};

}  // namespace

bool OpenStore::serves(const config::StoreSpec& spec) const noexcept {
    return name() == spec.name && same_use(spec_, spec);
}

std::unique_ptr<OpenStore> open_store(const config::StoreSpec& spec, Shards& shards,
                                      std::shared_ptr<FileThreads> threads,
                                      std::shared_ptr<OpenFile> file) {
    using Type = config::StoreSpec::Type;
    if (spec.type == Type::memory) return std::make_unique<OpenMemory>(spec, shards);
    if (spec.type == Type::nbd) return open_remote(spec, shards);
    return std::make_unique<OpenFileStore>(spec, shards, std::move(threads), std::move(file));
}

}  // namespace server
