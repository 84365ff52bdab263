#pragma once

#include <deque>
#include <exception>
#include <functional>

#include "dmcore/mapped_device.h"

namespace server {

/// Takes the suspends and resumes of one device one after another, in the order they came, as dm
/// does. Used on the control thread only.
///
/// A suspend may wait for I/O for ever, so there is a way out: a resume that has no table to bring
/// in takes back all suspends that still wait, instead of waiting behind them.
class DeviceSteps {
  public:
    /// Called once. Null: done. Otherwise a StepError: it was not taken, or was taken back.
    using Done = std::function<void(std::exception_ptr)>;

    /// Borrows the device, which must not be stepped otherwise.
    explicit DeviceSteps(dmcore::MappedDevice& device) : device_(device) {}

    /// Suspended already: done.
    void suspend(bool noflush, Done done);
    /// Not suspended, and nothing in the inactive slot: done. No table at all: refused [S-10].
    void resume(bool noflush, Done done);

    /// Keeps all other steps waiting from when `granted` is called until release(); meanwhile the
    /// caller may step the device itself. One at a time.
    void hold(Done granted);
    /// Also takes back a hold that was not granted yet.
    void release();

    /// Takes back what waits, and refuses what comes after. A hold lasts.
    void end();

  private:
    struct Step {
        enum class Kind { suspend, resume, hold } kind;
        bool noflush;
        Done done;
    };

    void add(Step step);
    void begin();
    void finish(std::exception_ptr why);
    bool only_suspends_wait() const;

    dmcore::MappedDevice& device_;
    std::deque<Step> steps_;  // The first is at work.
    bool ended_ = false;
};

}  // namespace server
