#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace server {

class Export;

/// One thing that clients of an export are told it can do, or not, and the reason.
struct Feature {
    std::string_view name;  // "flush", "fua", "multi_conn", "trim", "zero", "fast_zero"
    bool offered = false;
    std::string why;  // For people.
};

struct Features {
    std::vector<Feature> all;
    std::vector<std::string> stores;  // As x-dmnbd:map counts them, from 1.
};

/// By what is below the export now. On that shard.
Features features_of(const Export& served, unsigned shard);

}  // namespace server
