#include "server/open_store.h"

#include "dmcore/stores/memory.h"
#include "server/identity.h"
#include "server/stores/file.h"
#include "server/stores/threads.h"

namespace server {
namespace {

bool punches(const config::StoreSpec& spec) {
    return spec.discard == config::StoreSpec::Discard::punch;
}

}  // namespace

OpenStore::OpenStore(const config::StoreSpec& spec, Shards& shards,
                     std::shared_ptr<FileThreads> threads, std::shared_ptr<OpenFile> file)
    : name_(spec.name), path_(spec.path), punch_(punches(spec)) {
    if (spec.type == config::StoreSpec::Type::memory) {
        memory_ = std::make_shared<dmcore::MemoryStore>(name_, spec.size_sectors);
        const std::string identity = new_memory_identity();
        for (unsigned i = 0; i < shards.shards(); ++i) {
            fronts_.push_back(std::make_unique<dmcore::MemoryDevice>(memory_, identity));
        }
        return;
    }
    store_ = std::make_shared<FileStore>(name_,
                                         FileOptions{.path = path_,
                                                     .size_sectors = spec.size_sectors,
                                                     .create = spec.create,
                                                     .punch = punch_},
                                         std::move(file));
    std::vector<Inbox*> inboxes;
    for (unsigned i = 0; i < shards.shards(); ++i) inboxes.push_back(&shards[i]);
    const auto queue = std::make_shared<FileQueue>(std::move(threads), store_, inboxes);
    for (unsigned i = 0; i < shards.shards(); ++i) {
        fronts_.push_back(std::make_unique<FileDevice>(queue, i, shards[i].agenda()));
    }
}

std::shared_ptr<OpenFile> OpenStore::file() const noexcept {
    return store_ == nullptr ? nullptr : store_->file();
}

bool OpenStore::serves(const config::StoreSpec& spec) const noexcept {
    const bool memory = spec.type == config::StoreSpec::Type::memory;
    return name_ == spec.name && memory == (store_ == nullptr) &&
           limits().size_sectors == spec.size_sectors && (memory || punch_ == punches(spec));
}

std::uint64_t OpenStore::errors() const noexcept {
    return store_ == nullptr ? memory_->errors() : store_->errors();
}

bool OpenStore::sync() noexcept {
    return store_ == nullptr || store_->sync();
}

}  // namespace server
