// What is asked of the kernel for an export, and which export may follow it.
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "config/diagnostic.h"
#include "config/values.h"
#include "server/attach/attachment.h"
#include "server/attach/error.h"
#include "server/attach/limits.h"
#include "server/nbd/text.h"
#include "server/nbd/wire.h"

namespace server::attach {
namespace {

using Kind = AttachError::Kind;
using std::chrono::seconds;

std::string bytes_text(std::uint64_t bytes) {
    return std::to_string(bytes) + " bytes";
}

unsigned connections_of(const Options& options, const Offer& offer, Terms& terms) {
    const unsigned wanted = options.connections.value_or(connections_default);
    if (wanted == 1 || offer.has(nbd::flag_can_multi_conn)) return wanted;
    if (options.connections) {
        terms.notes.push_back("one connection only: the server does not offer several");
    }
    return 1;
}

std::uint64_t block_bytes_of(const Options& options, const Offer& offer) {
    constexpr std::uint64_t least = 512;
    const auto most = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t floor = std::max<std::uint64_t>(least, offer.min_block_bytes);
    const std::uint64_t wanted = options.block_bytes.value_or(floor);
    if (!std::has_single_bit(wanted) || wanted < least || wanted > most) {
        throw AttachError(options.block_bytes ? Kind::usage : Kind::failed,
                          "the kernel can't have blocks of " + bytes_text(wanted),
                          "it takes powers of two from 512 to " + std::to_string(most));
    }
    if (wanted >= floor) return wanted;
    throw AttachError(Kind::failed,
                      "blocks of " + bytes_text(wanted) + " are too small for the export",
                      "its own have " + bytes_text(offer.min_block_bytes));
}

/// How long a request may take must fit into the time after which it is sent again.
void set_times(const Options& options, const Offer& offer, Terms& terms) {
    const std::chrono::milliseconds answer(offer.identity ? offer.identity->answer_ms : 0);
    const seconds fitting =
        answer == answer.zero()
            ? timeout_default
            : std::max(timeout_default, std::chrono::ceil<seconds>(answer) + timeout_margin);
    terms.timeout = options.timeout.value_or(fitting);
    terms.dead_timeout =
        options.dead_timeout.value_or(std::max(dead_timeout_default, terms.timeout));
    if (terms.timeout > answer) return;
    terms.notes.push_back("the export may take up to " + config::duration_text(answer) +
                          " to answer, and the kernel sends requests again after " +
                          config::duration_text(terms.timeout) + ": give it a longer --timeout");
}

std::string lost_flag(const Offer& before, const Offer& now) {
    constexpr std::pair<std::uint16_t, const char*> names[] = {
        {nbd::send_flush, "flush"},
        {nbd::send_fua, "FUA"},
        {nbd::send_trim, "trim"},
        {nbd::send_write_zeroes, "write zeroes"},
        {nbd::flag_can_multi_conn, "several connections"}};
    for (const auto& [flag, name] : names) {
        if (before.has(flag) && !now.has(flag)) return std::string("it offers no ") + name;
    }
    if (now.has(nbd::flag_read_only) && !before.has(nbd::flag_read_only)) return "it is read-only";
    return {};
}

}  // namespace

Terms terms_of(const Options& options, const Offer& offer) {
    Terms terms;
    terms.connections = connections_of(options, offer, terms);
    terms.block_bytes = block_bytes_of(options, offer);
    set_times(options, offer, terms);
    if (offer.max_payload_bytes < request_bytes) {
        throw AttachError(Kind::failed, "the server takes requests of " +
                                            bytes_text(offer.max_payload_bytes) +
                                            " at most, and the kernel sends larger ones");
    }
    const std::uint64_t usable = usable_bytes(offer, terms);
    if (usable == 0) throw AttachError(Kind::failed, "the export has no whole block");
    if (usable < offer.size_bytes) {
        terms.notes.push_back("the last " + bytes_text(offer.size_bytes - usable) +
                              " are no whole block, and left out");
    }
    if (!offer.identity) {
        terms.notes.emplace_back(
            "the server does not tell what data it has: should it be started again, nobody can "
            "know whether that is the same");
    }
    return terms;
}

std::uint64_t usable_bytes(const Offer& offer, const Terms& terms) {
    return offer.size_bytes / terms.block_bytes * terms.block_bytes;
}

std::string mismatch(const Offer& before, const Offer& now, std::uint64_t size_bytes,
                     std::uint64_t block_bytes) {
    if (before.identity) {
        if (!now.identity) return "it does not tell what data it has";
        const bool same_run = now.identity->server == before.identity->server;
        if (!same_run && now.identity->text != before.identity->text) {
            return "its data is not what was attached: that was " +
                   nbd::in_quotes(before.identity->text) + ", this is " +
                   nbd::in_quotes(now.identity->text);
        }
    }
    if (now.size_bytes < size_bytes) {
        return "it has " + bytes_text(now.size_bytes) + ", the device " + bytes_text(size_bytes);
    }
    if (now.min_block_bytes > block_bytes) {
        return "its blocks have " + bytes_text(now.min_block_bytes) + ", the device's " +
               bytes_text(block_bytes);
    }
    return lost_flag(before, now);
}

}  // namespace server::attach
