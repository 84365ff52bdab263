#pragma once

#include "dmcore/bio.h"
#include "dmcore/queue.h"

namespace dmcore {

/// Something to do later in this turn. Its owner keeps it while it is on an agenda.
struct Work : Link {
    using Run = void (*)(void* owner) noexcept;
    Work(Run what, void* whose) noexcept : run(what), owner(whose) {}

    Run run;
    void* owner;
    bool queued = false;
};

/// What one shard still has to do in this turn. Ends of bios are queued here and never run where
/// they were found, so ending can submit and submitting can end without recursion.
class Agenda {
  public:
    /// The bio's `done` runs in run_all().
    void complete(Bio& bio) noexcept { completed_.push_back(bio); }

    /// Does nothing if `work` is already on the agenda.
    void add(Work& work) noexcept {
        if (work.queued) return;
        work.queued = true;
        work_.push_back(work);
    }

    bool empty() const noexcept { return completed_.empty() && work_.empty(); }

    /// Runs until nothing is left; ends of bios go before other work.
    void run_all() noexcept {
        for (;;) {
            while (Bio* bio = completed_.pop()) bio->done(*bio);
            Work* work = work_.pop();
            if (work == nullptr) return;
            work->queued = false;
            work->run(work->owner);
        }
    }

  private:
    Queue<Bio> completed_;
    Queue<Work> work_;
};

}  // namespace dmcore
