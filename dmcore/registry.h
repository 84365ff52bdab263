#pragma once

#include <span>
#include <string_view>

#include "dmcore/target.h"

namespace dmcore {

/// All kinds of target, by name in ascending order.
std::span<const TargetType* const> target_types() noexcept;

/// Null if there is none. Names are case sensitive [T-4].
const TargetType* find_target_type(std::string_view name) noexcept;

}  // namespace dmcore
