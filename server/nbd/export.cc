#include "server/nbd/export.h"

#include "server/nbd/wire.h"

namespace server::nbd {

std::uint16_t transmission_flags(const ExportInfo& info, Form form) noexcept {
    unsigned flags = flag_has_flags | send_cache;
    if (info.read_only) flags |= flag_read_only;
    if (info.can_flush) flags |= send_flush;
    if (info.can_fua) flags |= send_fua;
    if (info.can_trim && !info.read_only) flags |= send_trim;
    if (info.can_zero && !info.read_only) flags |= send_write_zeroes | send_fast_zero;
    if (form != Form::simple) flags |= send_df;
    if (info.can_multi_conn) flags |= flag_can_multi_conn;
    return static_cast<std::uint16_t>(flags);
}

}  // namespace server::nbd
