#include "dmcore/registry.h"

namespace dmcore {

extern const TargetType delay_target;
extern const TargetType dust_target;
extern const TargetType error_target;
extern const TargetType flakey_target;
extern const TargetType linear_target;
extern const TargetType log_writes_target;
extern const TargetType striped_target;
extern const TargetType unstriped_target;
extern const TargetType zero_target;

std::span<const TargetType* const> target_types() noexcept {
    static constexpr const TargetType* all[] = {
        &delay_target,      &dust_target,    &error_target,     &flakey_target, &linear_target,
        &log_writes_target, &striped_target, &unstriped_target, &zero_target,
    };
    return all;
}

const TargetType* find_target_type(std::string_view name) noexcept {
    for (const TargetType* type : target_types()) {
        if (type->name == name) return type;
    }
    return nullptr;
}

}  // namespace dmcore
