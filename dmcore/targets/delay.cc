#include <array>
#include <atomic>
#include <cassert>

#include "dmcore/pool.h"
#include "dmcore/target.h"

namespace dmcore {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t delay_max_ms = UINT32_MAX;
constexpr std::size_t words_per_way = 3;

/// A range whose I/O is held for a while before it is sent on (dm-semantics 7.6).
class Delay final : public Target {
  public:
    explicit Delay(const TargetArgs& args);
    ~Delay() override;

    Mapped map(Clone& clone) noexcept override;
    void presuspend() noexcept override;
    void resume() noexcept override { delays_ = true; }
    bool flushes(const Lower& below) const override { return &below == ways_[flush].lower; }
    std::string table_text(TextForm form) const override;
    std::string status_text() const override;
    std::string state_text() const override;
    void locate(Place& place) const noexcept override {
        lead_to(place, *ways_[read].lower, ways_[read].start_sector + place.sector);
    }
    void each_area(const Area& area) const override;

  private:
    enum Class : std::size_t { read, write, flush, class_count };  // [D1-1]

    /// Where I/O of one class goes, and when.
    struct Way {
        Lower* lower;
        std::uint64_t start_sector;
        milliseconds delay;
    };
    struct Held : Link {
        Clone* clone = nullptr;
        Time due{};
        std::uint64_t arrival = 0;
    };
    /// How many are held now, of all lanes.
    using Counts = std::array<std::atomic<std::uint64_t>, class_count>;

    static Class class_of(Op op) noexcept;
    void hold(Clone& clone, Class kind) noexcept;
    void release(Time until) noexcept;
    Held* take_due(Time until) noexcept;
    void arm() noexcept;

    std::array<Way, class_count> ways_{};
    std::size_t written_ways_;  // As loaded; the last of them serves the classes after it.
    std::uint64_t sectors_;
    std::shared_ptr<Counts> counts_;

    Clock& clock_;
    Timer timer_;
    bool delays_ = true;
    std::array<Queue<Held>, class_count> held_;  // Of each class in order of arrival, so of due.
    Pool<Held> pool_{SIZE_MAX};                  // Bounded by the lane's clones.
    std::uint64_t arrivals_ = 0;
};

Delay::Delay(const TargetArgs& args)
    : written_ways_(args.count() / words_per_way),
      sectors_(args.sectors),
      clock_(*args.clock),
      timer_(
          [](void* self) noexcept {
              auto& delay = *static_cast<Delay*>(self);
              delay.release(delay.clock_.now());
          },
          this) {
    if (args.count() % words_per_way != 0 || written_ways_ == 0 || written_ways_ > class_count) {
        args.fail("argument-count",
                  "delay takes 3, 6 or 9 arguments: device offset delay for all, or for reads, "
                  "writes and flushes in this order");
    }
    for (std::size_t i = 0; i < written_ways_; ++i) {
        const std::size_t word = i * words_per_way;
        const std::uint64_t start = args.number(word + 1, "offset", table_start_max);
        const milliseconds delay(args.number(word + 2, "delay", delay_max_ms));
        ways_[i] = {&args.device(word), start, delay};
    }
    for (std::size_t i = written_ways_; i < class_count; ++i) ways_[i] = ways_[i - 1];
    if (*args.shared == nullptr) *args.shared = std::make_shared<Counts>();
    counts_ = std::static_pointer_cast<Counts>(*args.shared);
    traits_ = {.flush_clones = 1, .discard_clones = 1};
}

/// A table goes only when its device is suspended, and presuspend() left nothing here.
Delay::~Delay() {
    assert(pool_.in_use() == 0);
    clock_.disarm(timer_);
}

Delay::Class Delay::class_of(Op op) noexcept {
    return op == Op::read ? read : op == Op::flush ? flush : write;
}

Mapped Delay::map(Clone& clone) noexcept {
    const Class kind = class_of(clone.op);
    const Way& way = ways_[kind];
    clone.lower = way.lower;
    if (clone.op != Op::flush) clone.iter.sector += way.start_sector;
    if (!delays_ || way.delay.count() == 0) return Mapped::remapped;  // [D1-2], [D1-4]
    hold(clone, kind);
    return Mapped::kept;
}

void Delay::hold(Clone& clone, Class kind) noexcept {
    Held& held = *pool_.take();
    held.clone = &clone;
    held.due = clock_.now() + ways_[kind].delay;
    held.arrival = arrivals_++;
    held_[kind].push_back(held);
    (*counts_)[kind].fetch_add(1, std::memory_order_relaxed);
    if (!timer_.armed || held.due < timer_.due) clock_.arm(timer_, held.due);
}

/// Sends what is due by `until`, in order of arrival [D1-2].
void Delay::release(Time until) noexcept {
    while (Held* held = take_due(until)) {
        Clone& clone = *held->clone;
        pool_.give(*held);
        (*counts_)[class_of(clone.op)].fetch_sub(1, std::memory_order_relaxed);
        issue(clone);
    }
    arm();
}

/// Of the due ones the first that came; null: none.
Delay::Held* Delay::take_due(Time until) noexcept {
    Queue<Held>* first = nullptr;
    for (Queue<Held>& queue : held_) {
        if (queue.empty() || queue.front()->due > until) continue;
        if (first == nullptr || queue.front()->arrival < first->front()->arrival) first = &queue;
    }
    return first == nullptr ? nullptr : first->pop();
}

void Delay::arm() noexcept {
    Time next = Time::max();
    for (const Queue<Held>& queue : held_) {
        if (!queue.empty()) next = std::min(next, queue.front()->due);
    }
    if (next == Time::max()) {
        clock_.disarm(timer_);
    } else {
        clock_.arm(timer_, next);
    }
}

void Delay::presuspend() noexcept {
    delays_ = false;
    release(Time::max());
}

std::string Delay::table_text(TextForm) const {
    std::string text;
    for (std::size_t i = 0; i < written_ways_; ++i) {
        const Way& way = ways_[i];
        text += (i == 0 ? "" : " ") + way.lower->device->name() + ' ' +
                std::to_string(way.start_sector) + ' ' + std::to_string(way.delay.count());
    }
    return text;
}

std::string Delay::status_text() const {
    std::string text;
    for (const auto& count : *counts_) {
        text += (text.empty() ? "" : " ") + std::to_string(count.load(std::memory_order_relaxed));
    }
    return text;
}

std::string Delay::state_text() const {
    std::uint64_t all = 0;
    for (const auto& count : *counts_) all += count.load(std::memory_order_relaxed);
    return all == 0 ? "" : std::to_string(all) + " held";
}

void Delay::each_area(const Area& area) const {
    for (const Way& way : ways_) area(*way.lower, way.start_sector, sectors_);
}

constexpr ArgSpec arg_specs[] = {
    {"device", ArgSpec::Kind::device},
    {"offset", ArgSpec::Kind::sectors, "0"},
    {"delay", ArgSpec::Kind::milliseconds},
    {"write_device", ArgSpec::Kind::device, {}, 1},
    {"write_offset", ArgSpec::Kind::sectors, "0", 1},
    {"write_delay", ArgSpec::Kind::milliseconds, {}, 1},
    {"flush_device", ArgSpec::Kind::device, {}, 2},
    {"flush_offset", ArgSpec::Kind::sectors, "0", 2},
    {"flush_delay", ArgSpec::Kind::milliseconds, {}, 2},
};

}  // namespace

extern const TargetType delay_target;
const TargetType delay_target = {
    .name = "delay",
    .version = "1.4.0",
    .summary = "holds I/O for a while before it is sent on",
    .args = arg_specs,
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<Delay>(args);
    },
};

}  // namespace dmcore
