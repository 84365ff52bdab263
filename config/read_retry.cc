#include <limits>
#include <string>
#include <vector>

#include "config/closest.h"
#include "config/sections.h"
#include "dmcore/status.h"

namespace config {
namespace {

constexpr std::string_view retry_keys[] = {"errors",    "attempts", "delay",      "backoff",
                                           "max_delay", "deadline", "queue_bytes"};

/// Every error that a policy may name, as it is written.
std::vector<std::string_view> error_names() {
    std::vector<std::string_view> names;
    for (unsigned i = 0; i < static_cast<unsigned>(dmcore::Status::requeue); ++i) {
        const std::string_view name = dmcore::name_of(static_cast<dmcore::Status>(i));
        if (dmcore::status_named(name)) names.push_back(name);
    }
    return names;
}

dmcore::StatusSet read_errors(Context& context, const Node& node, const std::string& what) {
    dmcore::StatusSet set;
    for (const Node* item : context.list(node, what)) {
        const auto word = context.text(*item, what);
        if (!word) continue;
        if (const auto status = dmcore::status_named(*word)) {
            set.add(*status);
            continue;
        }
        const auto names = error_names();
        context.found.error(item->position,
                            {"unknown-errno", what + ": there is no error " + in_quotes(*word),
                             did_you_mean(*word, names), "they are " + comma_separated(names)});
    }
    return set;
}

Value<std::uint64_t> attempts_value(std::string_view text) {
    return parse_count(text, dmcore::RetryPolicy::unlimited - 1);
}

Value<std::uint64_t> queue_value(std::string_view text) {
    return parse_size(text, Bare::refused);
}

}  // namespace

dmcore::RetryPolicy read_retry(Context& context, const Node& node, const std::string& what) {
    if (node.kind == Node::Kind::scalar && node.text == "none") return dmcore::no_retry();
    dmcore::RetryPolicy policy = dmcore::default_retry();
    const Section section(context, node, what, retry_keys);
    if (!section.is_map()) return policy;
    if (const Node* errors = section.find("errors")) {
        policy.errors = read_errors(context, *errors, section.subject("errors"));
    }
    section.set(policy.attempts, "attempts", attempts_value);
    section.set(policy.delay, "delay", parse_duration);
    section.set(policy.backoff, "backoff", parse_factor);
    section.set(policy.max_delay, "max_delay", parse_duration);
    section.set(policy.deadline, "deadline", parse_duration);
    section.set(policy.queue_bytes, "queue_bytes", queue_value);
    if (policy.delay > policy.max_delay) {
        if (const Node* max = section.find("max_delay")) {
            context.found.error(max->position, {"bad-retry",
                                                what + ": max_delay is less than delay, " +
                                                    duration_text(policy.delay),
                                                {},
                                                "raise max_delay, or leave it out"});
        }
        policy.max_delay = policy.delay;  // A long delay alone means that long, every time.
    }
    return policy;
}

}  // namespace config
