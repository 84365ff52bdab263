#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "fuzz/replies.h"
#include "fuzz/requests.h"

namespace fuzz {

/// What a device of traffic_tables holds while requests are served one after another: the oracle
/// for all that is read from it.
class Contents {
  public:
    explicit Contents(unsigned table);

    /// Ends the process unless the answer is the one that the request must have now.
    void check(const Requests& requests, std::size_t number, const Answer& answer);

  private:
    struct Sector {
        std::int64_t writer = -1;  // Number of its request; -1: zeroes.
        bool or_zero = false;      // It was trimmed.
    };
    enum class Row : std::uint8_t { stores, zero, error };
    static constexpr std::uint64_t sectors_max = 8192;

    Row row(std::uint64_t sector) const;
    bool fails(const Asked& asked) const;
    void change(const Asked& asked, std::size_t number);
    void check_read(const Answer& answer);
    void check_sector(std::uint64_t sector, const char* data);
    void check_status(const Asked& asked, const Answer& answer) const;

    unsigned table_;
    std::vector<Sector> sectors_;
};

/// Of any table, in any order: the pieces tile the request, and each sector is what one request has
/// written there, or zeroes. `moved`: the table was another one then, so `there` means nothing.
void check_tiles(const Requests& requests, const Asked& asked, const Answer& answer, bool moved);
/// The extents are as the protocol wants them.
void check_extents(const Asked& asked, const Answer& answer);

}  // namespace fuzz
