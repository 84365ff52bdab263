#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "server/net/record_cipher.h"

namespace server {

/// AES-GCM by Intel's libIPSec_MB: more than twice as fast as OpenSSL before 3.1 where the
/// processor has VAES. The library is found at run time, by the first who asks, so that a program
/// can be where it is not. Any thread; to open the library takes milliseconds.

/// `key_bytes`: 16 or 32. Null: there is no such library or processor, or this build can't use it.
std::unique_ptr<RecordCipher> fast_gcm(std::size_t key_bytes);

/// "libIPSec_MB 1.3.0", and behind it in parentheses why it is not used; or "no libIPSec_MB", and
/// what that means.
std::string fast_gcm_version();

}  // namespace server
