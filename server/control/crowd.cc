#include "server/control/crowd.h"

#include <sys/socket.h>

namespace server::control {

Crowd::Member* Crowd::enter(int descriptor) {
    const std::lock_guard lock(mutex_);
    Member& member = idle_.emplace_back(descriptor);
    member.place_ = std::prev(idle_.end());
    if (idle_.size() + others_.size() - cut_off_ > most_) cut_one_off();
    return &member;
}

/// The rest is up to whoever serves the connection, who finds it closed.
void Crowd::cut_one_off() {
    if (idle_.size() < 2) return;  // Not the newest: it has had no time to ask.
    Member& oldest = idle_.front();
    others_.splice(others_.end(), idle_, oldest.place_);
    oldest.idle_ = false;
    oldest.cut_off_ = true;
    ++cut_off_;
    ::shutdown(oldest.descriptor_, SHUT_RDWR);
}

void Crowd::begin(Member& member) {
    const std::lock_guard lock(mutex_);
    if (!member.idle_) return;
    member.idle_ = false;
    others_.splice(others_.end(), idle_, member.place_);
}

void Crowd::end(Member& member) {
    const std::lock_guard lock(mutex_);
    if (member.idle_ || member.cut_off_) return;
    member.idle_ = true;
    idle_.splice(idle_.end(), others_, member.place_);
}

void Crowd::leave(Member* member) {
    const std::lock_guard lock(mutex_);
    if (member->cut_off_) --cut_off_;
    (member->idle_ ? idle_ : others_).erase(member->place_);
}

}  // namespace server::control
