#pragma once

#include <cstddef>
#include <list>
#include <mutex>

namespace server::control {

/// The connections of one listener. When there are too many, the one that has waited longest
/// without asking anything whole is cut off, so that those who hold connections for nothing never
/// keep a probe out. Any thread.
class Crowd {
  public:
    class Member;

    explicit Crowd(std::size_t most) : most_(most) {}

    /// A new connection, which is idle.
    Member* enter(int descriptor);
    /// It has asked something: it is not cut off until it is idle again.
    void begin(Member& member);
    /// It has been answered.
    void end(Member& member);
    /// Before its descriptor is closed.
    void leave(Member* member);

  private:
    using Members = std::list<Member>;
    void cut_one_off();

    const std::size_t most_;
    std::mutex mutex_;  // Guards the rest.
    Members idle_;      // The one that has been so longest comes first.
    Members others_;    // At work, or cut off and not gone yet.
    std::size_t cut_off_ = 0;
};

class Crowd::Member {
  public:
    explicit Member(int descriptor) : descriptor_(descriptor) {}

  private:
    friend class Crowd;

    const int descriptor_;
    bool idle_ = true;
    bool cut_off_ = false;
    Members::iterator place_;
};

}  // namespace server::control
