#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "fuzz/requests.h"
#include "fuzz/traffic.h"
#include "server/nbd/session.h"
#include "unit/stack.h"

namespace fuzz {

/// A session over a device on two stores, and all that can happen to it while requests arrive.
class Served {
  public:
    explicit Served(const Traffic& traffic);
    /// The client is gone, and everything below ends.
    ~Served();

    const server::nbd::ExportInfo& info() const { return session_->info(); }
    const server::nbd::Terms& terms() const { return terms_; }

    /// Up to `end` of the stream has arrived.
    void arrive(const std::string& stream, std::size_t end);
    void happen(const Traffic::Event& event);
    /// Whatever stands in the way goes, and all that has arrived is worked off.
    void settle(const std::string& stream, std::size_t end);
    /// The client is gone: nothing is said any more, nothing is kept.
    void die();

    const std::string& said() const { return said_; }
    std::size_t taken() const { return taken_; }
    const server::nbd::Session& session() const { return *session_; }
    /// The device has had another table.
    bool moved() const { return moved_; }
    /// The server ended it: not all that was asked is answered.
    bool ended() const { return ended_; }
    std::uint64_t counted() const;

  private:
    void work();
    bool send(std::size_t bytes);
    void all_good();
    void finish(std::uint64_t which);
    void suspend(bool noflush);
    void resume(bool new_table);
    void hog();
    void unhog();
    bool idle_below() const;

    static constexpr std::size_t budget_bytes = 4 << 20;

    stack::World world_;
    stack::Probe& d_ = world_.probe("d", traffic_sectors);
    stack::Probe& e_ = world_.probe("e", traffic_sectors);
    dmcore::MappedDevice& device_;
    std::size_t table_;
    server::nbd::Buffers buffers_{budget_bytes, budget_bytes / 4 * 3};
    server::nbd::SessionResources resources_{world_.agenda(0), buffers_};
    server::nbd::RequestCounts counts_;
    server::nbd::Terms terms_;
    std::unique_ptr<server::nbd::Session> session_;
    std::string said_;
    std::size_t taken_ = 0;
    std::byte* hogged_ = nullptr;
    std::size_t hogged_bytes_ = 0;
    bool suspending_ = false;  // And not suspended yet.
    bool moved_ = false;
    bool ended_ = false;
    bool dead_ = false;
};

}  // namespace fuzz
