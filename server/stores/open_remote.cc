#include "server/stores/open_remote.h"

#include <thread>

#include "server/stores/remote.h"

namespace server {
namespace {

class OpenRemote final : public OpenStore {
  public:
    OpenRemote(const config::StoreSpec& spec, Shards& shards)
        : OpenStore(spec), store_(std::make_shared<RemoteStore>(spec, shards.inboxes())) {
        for (unsigned i = 0; i < shards.shards(); ++i) {
            fronts_.push_back(std::make_unique<RemoteDevice>(store_, i, shards[i].agenda()));
        }
    }

    std::uint64_t errors() const noexcept override { return store_->errors(); }
    bool sync() noexcept override { return store_->sync(); }
    std::optional<RemoteLink> link() const override { return store_->link(); }

  private:
    std::shared_ptr<RemoteStore> store_;
};

constexpr auto pause_max = limits::remote_pause_max;

tl::expected<std::uint64_t, std::string> ask(const config::StoreSpec& store) {
    RemoteConnection connection;
    connection.connect(store.uri, store.tls);
    const auto until = std::chrono::steady_clock::now() + limits::remote_connect_time;
    while (connection.phase() == RemoteConnection::Phase::connecting) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left.count() <= 0) return tl::unexpected(std::string("it does not answer"));
        pollfd wait = connection.waits_for();
        ::poll(&wait, 1, static_cast<int>(left.count()));
        connection.go_on(wait.revents);
    }
    if (connection.phase() == RemoteConnection::Phase::closed) {
        return tl::unexpected(connection.trouble());
    }
    return connection.traits().size_bytes;
}

}  // namespace

std::unique_ptr<OpenStore> open_remote(const config::StoreSpec& spec, Shards& shards) {
    return std::make_unique<OpenRemote>(spec, shards);
}

config::RemoteSize ask_remote_size(Ask how) {
    return [how](const config::StoreSpec& store) {
        const auto until = std::chrono::steady_clock::now() + store.reconnect;
        for (auto pause = limits::remote_pause_min;; pause = std::min(2 * pause, pause_max)) {
            auto size = ask(store);
            const bool last = std::chrono::steady_clock::now() + pause > until;
            if (size || how == Ask::once || last) return size;
            std::this_thread::sleep_for(pause);
        }
    };
}

}  // namespace server
