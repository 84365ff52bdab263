#pragma once

#include <string>
#include <unordered_map>

#include "config/spec.h"

namespace config {

/// Of each device of a spec that was checked: the longest that a request to it may take, with all
/// delays and retries below, but without what the stores themselves take.
std::unordered_map<std::string, dmcore::Time> answer_times(const Spec& spec);

}  // namespace config
