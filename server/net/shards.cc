#include "server/net/shards.h"

#include <asio/post.hpp>
#include <future>

namespace server {

Shards::Shards(unsigned count, asio::io_context& control) : control_(control) {
    for (unsigned i = 0; i < count; ++i) all_.push_back(std::make_unique<Shard>(i));
}

Shards::~Shards() {
    stop();
}

void Shards::start() {
    running_ = true;
    for (auto& shard : all_) shard->start();
}

void Shards::stop() {
    if (!running_) return;
    running_ = false;
    for (auto& shard : all_) shard->stop();
}

void Shards::post(unsigned shard, std::function<void()> what) {
    all_[shard]->post(std::move(what));
}

void Shards::post_control(std::function<void()> what) {
    asio::post(control_, std::move(what));
}

std::vector<dmcore::ShardSeams> Shards::seams() noexcept {
    std::vector<dmcore::ShardSeams> seams;
    for (auto& shard : all_) seams.push_back({&shard->agenda(), shard.get()});
    return seams;
}

std::vector<Inbox*> Shards::inboxes() {
    std::vector<Inbox*> inboxes;
    for (auto& shard : all_) inboxes.push_back(shard.get());
    return inboxes;
}

void Shards::run_on_all(const std::function<void(Shard&)>& each) {
    std::vector<std::future<void>> answers;
    for (auto& shard : all_) {
        auto done = std::make_shared<std::promise<void>>();
        answers.push_back(done->get_future());
        shard->post([&each, &shard = *shard, done] {
            each(shard);
            done->set_value();
        });
    }
    for (auto& answer : answers) answer.get();
}

}  // namespace server
