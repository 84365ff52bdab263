#pragma once

#include <cstdint>

#include "config/section.h"
#include "config/spec.h"
#include "dmcore/retry.h"

/// One function for each kind of thing in a table file. Each adds what it read to `spec`, and
/// reports what it could not read; a thing with errors may be added in part, for the checks that
/// follow.
namespace config {

/// What devices take where they say nothing.
struct Defaults {
    dmcore::RetryPolicy retry = dmcore::transient_retry();
    Position retry_position;  // Not written: nobody asked for retries.
    std::uint32_t block_bytes = 512;
};

void read_defaults(Context& context, const Node& node, Defaults& to);
void read_store(Context& context, const Node::Entry& entry, Spec& spec);
void read_device(Context& context, const Node::Entry& entry, const Defaults& defaults, Spec& spec);
void read_export(Context& context, const Node::Entry& entry, Spec& spec);
void read_listen(Context& context, const Node& list, Spec& spec);
void read_tls(Context& context, const Node& node, Spec& spec);
/// The value of `tls` of an export or an address; nothing: it is not given, or bad.
void read_tls_use(const Section& section, Tls& use, Position& position);
/// The value of `tls` of a store of type nbd: a word, or a map.
void read_remote_tls(Context& context, const Node& node, const std::string& what, RemoteTls& to);
void read_control(Context& context, const Node& node, Spec& spec);
void read_reload(Context& context, const Node& node, Spec& spec);
void read_log(Context& context, const Node& node, Spec& spec);

/// The value of a `retry` key: `none`, or a map. `what` names whose: "device 'big': retry".
dmcore::RetryPolicy read_retry(Context& context, const Node& node, const std::string& what);

}  // namespace config
