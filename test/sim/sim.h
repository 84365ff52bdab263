#pragma once

#include <cstdint>

#include "sim/clients.h"

namespace sim {

/// What came of one seed.
struct Result {
    std::uint64_t hash = 0;      // Of everything that happened, in order.
    std::uint64_t requests = 0;  // Of clients, answered.
    std::uint64_t ios = 0;       // That reached disks.
};

/// What a seed turns on. Each has its own subset, so that no ill hides another.
struct Temper {
    explicit Temper(dmcore::Random& random);

    unsigned shards;
    unsigned disks;
    unsigned devices;
    unsigned clients;
    unsigned under_way;
    bool retries;  // Every device asks for retries; else only what is transient is retried.
    bool starves;  // Pools so small that they run out.
    bool deaths;
    bool controls;
    bool crashes;
    bool remotes;
    Ills ills;
    Ledger::Excuses excuses;
};

/// One world, from its seed to its end. A broken promise ends the process with a report.
class Sim {
  public:
    Sim(std::uint64_t seed, bool verbose);

    Result run(std::uint32_t requests);

  private:
    void print() const;
    void step(bool spared);
    void rare_step();
    void hurry();
    bool turn(unsigned shard);
    void come_to_rest();
    void settle_down();
    [[noreturn]] void report_unrest();
    void check_rest();
    void check_statistics(unsigned device);
    void crash();

    dmcore::Random random_;
    Temper temper_;
    Trace trace_;
    Stacks stacks_;
    Model model_;
    Ledger ledger_;
    Stores stores_;
    Machine machine_;
    std::unique_ptr<Controls> controls_;
    std::unique_ptr<Clients> clients_;
};

}  // namespace sim
