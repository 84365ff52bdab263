#include "sim/sim.h"

#include <cstdio>

namespace sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

constexpr std::uint32_t disk_sectors = 700;
constexpr std::uint64_t idle_steps_max = 500;  // Then time passes faster.
// A tall stack whose devices are suspended over and over may let nothing through: each takes back
// what the next one has not done yet. Then they get some time to work.
constexpr std::uint64_t patience_steps_max = 50'000;
constexpr std::uint64_t rest_steps_max = 4'000'000;  // Beyond it, something hangs.

bool one_in(dmcore::Random& random, std::uint64_t count) {
    return random.below(count) == 0;
}

dmcore::DeviceOptions options_of(const Temper& temper, dmcore::Random& random) {
    dmcore::DeviceOptions options;
    if (temper.retries) options.retry = dmcore::default_retry();
    if (one_in(random, 4)) options.retry.queue_bytes = 16U << 10;
    if (temper.starves) {
        options.parts_max = 1 + random.below(6);
        options.clones_max = 1 + random.below(4);
    }
    return options;
}

}  // namespace

Temper::Temper(dmcore::Random& random)
    : shards(1 + static_cast<unsigned>(random.below(3))),
      disks(1 + static_cast<unsigned>(random.below(disks_max))),
      devices(1 + static_cast<unsigned>(random.below(one_in(random, 3) ? 8 : 3))),
      clients(1 + static_cast<unsigned>(random.below(5))),
      under_way(2 + static_cast<unsigned>(random.below(one_in(random, 4) ? 96 : 16))),
      retries(!one_in(random, 3)),
      starves(one_in(random, 4)),
      deaths(one_in(random, 3)),
      controls(!one_in(random, 4)),
      crashes(one_in(random, 2)),
      remotes(one_in(random, 6)) {
    if (one_in(random, 3)) ills.errors = 1 + static_cast<std::uint32_t>(random.below(64));
    if (one_in(random, 3)) ills.requeues = 1 + static_cast<std::uint32_t>(random.below(64));
    if (one_in(random, 3)) ills.transients = 1 + static_cast<std::uint32_t>(random.below(64));
    if (one_in(random, 6)) ills.sync_errors = 1 + static_cast<std::uint32_t>(random.below(8));
    if (one_in(random, 2)) ills.inlines = static_cast<std::uint32_t>(random.below(1025));
    excuses.io = !retries && (ills.errors != 0 || ills.requeues != 0);
    excuses.sync = ills.sync_errors != 0 || remotes;
}

Sim::Sim(std::uint64_t seed, bool verbose)
    : random_(seed),
      temper_(random_),
      trace_(seed, verbose),
      // Retries of retries take time that doubles with each level.
      stacks_(random_, temper_.disks, disk_sectors, !temper_.retries || temper_.devices < 3),
      model_(trace_, temper_.disks, disk_sectors),
      ledger_(trace_, model_, stacks_, temper_.excuses),
      stores_(random_, trace_, model_, ledger_, temper_.ills),
      machine_(random_, trace_, stores_, stacks_, temper_.shards) {
    trace_.note(What::seed, seed);
    for (unsigned i = 0; i < temper_.disks; ++i) {
        stores_.add(disk_sectors);
        stores_.disk(i).remote = temper_.remotes && one_in(random_, 2);
    }
    for (unsigned i = 0; i < temper_.devices; ++i) {
        machine_.add_device(stacks_.random_table(i), options_of(temper_, random_));
    }
    controls_ =
        std::make_unique<Controls>(random_, trace_, machine_, stacks_, ledger_, temper_.retries);
    clients_ = std::make_unique<Clients>(random_, trace_, machine_, stacks_, ledger_, *controls_);
    clients_->set_most_under_way(temper_.under_way);
    if (verbose) print();
}

/// What this world is, for whoever repeats a seed.
void Sim::print() const {
    std::fprintf(stderr,
                 "%u shards, %u disks, %u devices, %u clients with %u I/Os under way; retries %d, "
                 "starves %d, deaths %d, controls %d, crashes %d, remotes %d; of 1024 I/Os %u "
                 "fail, "
                 "%u are pushed back, %u fail for a moment, %u lose a flush, %u end at once\n",
                 temper_.shards, temper_.disks, temper_.devices, temper_.clients, temper_.under_way,
                 temper_.retries, temper_.starves, temper_.deaths, temper_.controls,
                 temper_.crashes, temper_.remotes, temper_.ills.errors, temper_.ills.requeues,
                 temper_.ills.transients, temper_.ills.sync_errors, temper_.ills.inlines);
    for (unsigned i = 0; i < stacks_.count(); ++i) stacks_.print(i);
}

Result Sim::run(std::uint32_t requests) {
    for (std::uint64_t rounds = 1 + random_.below(3); rounds > 0; --rounds) {
        clients_->connect(temper_.clients);
        const std::uint64_t until = ledger_.answers() + requests / 2 + random_.below(requests / 2);
        std::uint64_t answers = 0;
        bool spared = false;
        for (std::uint64_t idle = 0; ledger_.answers() < until; ++idle) {
            step(spared);
            if (answers != ledger_.answers()) idle = 0;
            answers = ledger_.answers();
            if (idle > idle_steps_max) hurry();
            spared |= idle > patience_steps_max;
            if (spared) controls_->heal();
            if (idle > rest_steps_max) report_unrest();
        }
        if (temper_.crashes && rounds > 1) {
            crash();
        } else {
            come_to_rest();
        }
    }
    trace_.note(What::quiet, ledger_.answers());
    return {trace_.hash(), ledger_.answers(), stores_.ios()};
}

/// `spared`: nothing of what is rare happens. Deaths and suspends that come sooner than anything
/// can end would go on for ever.
void Sim::step(bool spared) {
    const std::uint64_t dice = random_.below(64);
    if (dice < 22) {
        turn(static_cast<unsigned>(random_.below(machine_.shards())));
    } else if (dice < 44) {
        if (stores_.busy()) stores_.finish_one();
    } else if (dice < 57) {
        clients_->send();
    } else if (dice < 61) {
        machine_.deliver();
    } else if (dice < 63) {
        machine_.wait(one_in(random_, 8) ? dmcore::Time(milliseconds(10))
                                         : dmcore::Time(microseconds(200)));
    } else if (!spared) {
        rare_step();
    }
}

/// Nothing has been answered for long: lets time pass faster, with every store there.
void Sim::hurry() {
    for (unsigned i = 0; i < stores_.count(); ++i) stores_.bring_up(stores_.disk(i));
    machine_.wait_for_timer();
}

void Sim::rare_step() {
    if (temper_.controls && one_in(random_, 2)) controls_->act();
    if (temper_.deaths && one_in(random_, 40)) clients_->kill_one();
    if (!temper_.remotes || !one_in(random_, 20)) return;
    Disk& disk = stores_.disk(static_cast<unsigned>(random_.below(stores_.count())));
    if (!disk.remote) return;
    if (disk.down) {
        stores_.bring_up(disk);
    } else {
        stores_.take_down(disk);
    }
}

bool Sim::turn(unsigned shard) {
    const bool ran = machine_.turn(shard);
    return clients_->pump(shard) || ran;
}

/// No more ills and no more clients: everything that was asked must be answered.
void Sim::come_to_rest() {
    stores_.be_good();
    hurry();
    settle_down();
    check_rest();
    stores_.be_bad();
}

void Sim::settle_down() {
    std::uint64_t steps = 0;
    while (ledger_.under_way() != 0 || clients_->has_zombies() || !controls_->healed() ||
           stores_.busy() || !machine_.idle()) {
        if (++steps > rest_steps_max) report_unrest();
        bool moved = false;
        for (unsigned i = 0; i < machine_.shards(); ++i) moved |= turn(i);
        moved |= machine_.deliver();
        if (stores_.busy()) {
            stores_.finish_one();
            moved = true;
        }
        controls_->heal();
        if (!moved) machine_.wait_for_timer();
    }
}

[[noreturn]] void Sim::report_unrest() {
    for (unsigned i = 0; i < requests_max; ++i) {
        const Request& each = ledger_.request(i);
        if (each.state == Request::State::unused) continue;
        std::fprintf(stderr, "request %u, op %u, %u+%u of d%u, sent at %u, is still under way\n", i,
                     static_cast<unsigned>(each.op), each.sector, each.sectors, each.device,
                     each.began);
    }
    for (unsigned i = 0; i < machine_.devices(); ++i) {
        const dmcore::DeviceStats stats = machine_.stats(i);
        std::fprintf(stderr,
                     "d%u, %s: %llu parts pending, %llu bios deferred, %llu wait for a retry, "
                     "%llu behind a hold\n",
                     i, controls_->state_text(i), static_cast<unsigned long long>(stats.pending),
                     static_cast<unsigned long long>(stats.deferred),
                     static_cast<unsigned long long>(stats.waiting_retry),
                     static_cast<unsigned long long>(stats.waiting_overlap));
    }
    trace_.violation("[R-2], [R-15], [S-1]: it never comes to rest%s%s",
                     clients_->has_zombies() ? "; dead connections are left" : "",
                     stores_.busy() ? "; stores are busy" : "");
}

void Sim::check_rest() {
    for (unsigned i = 0; i < machine_.devices(); ++i) check_statistics(i);
    stores_.check_promises();
}

/// [D-3]: each part once, however often it was tried.
void Sim::check_statistics(unsigned device) {
    const dmcore::DeviceStats stats = machine_.stats(device);
    if (stats.in_flight() != 0 || stats.pending != 0 || stats.deferred != 0 ||
        stats.parked_bytes != 0) {
        trace_.violation("[R-21] d%u is at rest, its statistics are not", device);
    }
    const Ledger::Sum& sum = ledger_.sum(device);
    if (!sum.clean || stacks_.has_ever_had_parent(device)) return;
    std::uint64_t ios = 0;
    std::uint64_t sectors = 0;
    for (const dmcore::Op op :
         {dmcore::Op::read, dmcore::Op::write, dmcore::Op::discard, dmcore::Op::write_zeroes}) {
        ios += stats.ops[static_cast<std::size_t>(op)].ios;
        sectors += stats.ops[static_cast<std::size_t>(op)].sectors;
    }
    if (sectors == sum.sectors && ios == sum.requests + stats.splits) return;
    trace_.violation("[A-6], [R-22] d%u counts %llu I/Os of %llu sectors, not %llu of %llu", device,
                     static_cast<unsigned long long>(ios), static_cast<unsigned long long>(sectors),
                     static_cast<unsigned long long>(sum.requests + stats.splits),
                     static_cast<unsigned long long>(sum.sectors));
}

/// Power is lost at this moment. Afterwards the same devices stand on what is left.
void Sim::crash() {
    clients_->kill_all();
    stores_.crash();
    settle_down();
    stores_.heal();
}

}  // namespace sim
