#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/nbd/counts.h"

namespace server::control {

/// As Prometheus counts time.
inline double in_seconds(std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

/// Metrics as Prometheus reads them (text format 0.0.4): one family after another.
class Exposition {
  public:
    using Labels = std::vector<std::pair<std::string_view, std::string>>;

    /// `type`: "counter", "gauge", "histogram" or "summary". What follows belongs to it.
    void begin(std::string_view name, std::string_view type, std::string_view help);
    /// Values are exact up to 2^53. `suffix` goes behind the family's name: "_sum".
    void put(const Labels& labels, double value, std::string_view suffix = {});
    /// A histogram's buckets, sum and count, in seconds.
    void put(const Labels& labels, const nbd::Durations& durations);

    std::string take() { return std::move(text_); }

  private:
    std::string name_;
    std::string text_;
};

}  // namespace server::control
