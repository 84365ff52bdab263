#pragma once

#include "config/spec.h"

namespace server {

/// Sends the default logger to stderr, as lines for people or as JSON. Logging never blocks: when
/// the reader is slow, the oldest lines are lost.
void start_log(const config::LogSpec& spec);
/// From the next line on.
void change_log(const config::LogSpec& spec);
/// Writes what is left.
void stop_log();

}  // namespace server
