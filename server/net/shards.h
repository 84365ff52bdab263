#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <vector>

#include "dmcore/executor.h"
#include "dmcore/mapped_device.h"
#include "server/net/shard.h"

namespace server {

/// All shards, and the way between them and the control thread, which runs `control`.
class Shards final : public dmcore::Executor {
  public:
    Shards(unsigned count, asio::io_context& control);
    ~Shards() override;

    void start();
    /// Ends every shard's thread. Nothing may be in flight.
    void stop();

    unsigned shards() const noexcept override { return static_cast<unsigned>(all_.size()); }
    void post(unsigned shard, std::function<void()> what) override;
    void post_control(std::function<void()> what) override;

    Shard& operator[](unsigned index) noexcept { return *all_[index]; }
    std::vector<dmcore::ShardSeams> seams() noexcept;
    /// Where stores bring bios back to, by shard.
    std::vector<Inbox*> inboxes();
    /// Runs `each` on every shard and waits for all of them. Not from a shard.
    void run_on_all(const std::function<void(Shard&)>& each);

  private:
    asio::io_context& control_;
    std::vector<std::unique_ptr<Shard>> all_;
    bool running_ = false;
};

}  // namespace server
