#include "server/nbd/handshake.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "server/nbd/limits.h"
#include "server/nbd/option_reader.h"
#include "server/nbd/text.h"

namespace server::nbd {
namespace {

constexpr std::uint16_t offered_flags = flag_fixed_newstyle | flag_no_zeroes;

ByteSpan text_bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

void append(Bytes& out, ByteSpan part) {
    out.insert(out.end(), part.begin(), part.end());
}

std::string no_such_export(std::string_view name) {
    if (name.empty()) return "There is no default export.";
    return "There is no export " + in_quotes(name) + ".";
}

}  // namespace

struct Handshake::OptionRule {
    Option option;
    std::string_view name;
    Data data;
    void (Handshake::*answer)(Bytes& out);
};

/// What INFO and GO ask for. Repeated and unknown types of information are legal and add nothing.
struct Handshake::InfoRequest {
    std::string_view export_name;  // Lies in message_.
    bool name = false;
    bool description = false;
    bool block_size = false;
    bool identity = false;
};

/// What LIST_META_CONTEXT and SET_META_CONTEXT ask for.
struct Handshake::MetaRequest {
    std::string_view export_name;  // Lies in message_.
    bool queries = false;          // Any at all.
    MetaContexts named = 0;        // By their whole names...
    MetaContexts wildcards = 0;    // ...or by "base:".
};

/// The options we know; all others are answered as unsupported.
const Handshake::OptionRule Handshake::option_rules[] = {
    {Option::export_name, "EXPORT_NAME", Data::kept, &Handshake::answer_export_name},
    {Option::abort, "ABORT", Data::ignored, &Handshake::answer_abort},
    {Option::list, "LIST", Data::none, &Handshake::answer_list},
    {Option::starttls, "STARTTLS", Data::none, &Handshake::answer_starttls},
    {Option::info, "INFO", Data::kept, &Handshake::answer_info},
    {Option::go, "GO", Data::kept, &Handshake::answer_go},
    {Option::structured_reply, "STRUCTURED_REPLY", Data::none, &Handshake::answer_structured_reply},
    {Option::list_meta_context, "LIST_META_CONTEXT", Data::kept,
     &Handshake::answer_list_meta_context},
    {Option::set_meta_context, "SET_META_CONTEXT", Data::kept, &Handshake::answer_set_meta_context},
    {Option::extended_headers, "EXTENDED_HEADERS", Data::none, &Handshake::answer_extended_headers},
};

Handshake::Handshake(const ExportList& exports, TlsMode tls) : exports_(exports), tls_(tls) {
    expect(Expected::client_flags, sizeof(be32), true);
}

std::array<std::byte, sizeof(Greeting)> Handshake::greeting() noexcept {
    Greeting greeting;
    greeting.flags = offered_flags;
    return std::bit_cast<std::array<std::byte, sizeof greeting>>(greeting);
}

std::size_t Handshake::feed(ByteSpan in, Bytes& out) {
    std::size_t taken = 0;
    while (state_ == State::negotiating && out.size() < handshake_output_bytes_max) {
        const auto part = in.subspan(taken, std::min(missing_bytes_, in.size() - taken));
        if (keep_) append(message_, part);
        taken += part.size();
        missing_bytes_ -= part.size();
        if (missing_bytes_ > 0) break;
        take_message(out);
    }
    // Whoever put it there may be between us and the client (CVE-2021-3716).
    if (state_ == State::starting_tls && taken < in.size()) drop("plaintext came behind STARTTLS");
    return taken;
}

void Handshake::tls_started() {
    secure_ = true;
    terms_ = {};
    state_ = State::negotiating;
}

void Handshake::expect(Expected next, std::size_t bytes, bool keep) {
    expected_ = next;
    missing_bytes_ = bytes;
    keep_ = keep;
    message_.clear();
}

void Handshake::take_message(Bytes& out) {
    switch (expected_) {
        case Expected::client_flags: return take_client_flags();
        case Expected::option_header: return take_option_header();
        case Expected::option_data: return take_option(out);
    }
}

void Handshake::take_client_flags() {
    client_flags_ = wire_read<be32>(message_);
    if ((client_flags_ & ~std::uint32_t{offered_flags}) != 0) {
        return drop("the client set handshake flags that were not offered");
    }
    expect(Expected::option_header, sizeof(OptionHeader), true);
}

/// Everything that ends a connection because of a header alone is decided here, before any of the
/// option's data is read.
void Handshake::take_option_header() {
    const auto header = wire_read<OptionHeader>(message_);
    if (header.magic != option_magic) return drop("an option has the wrong magic number");
    option_ = header.option;
    option_data_bytes_ = header.data_bytes;
    const bool is_export_name = is_option(Option::export_name);
    if ((client_flags_ & flag_fixed_newstyle) == 0 && !is_export_name) {
        return drop("an option came from a client that can't read the reply");
    }
    if (option_data_bytes_ > (is_export_name ? string_bytes_max : option_data_bytes_max)) {
        return drop("option " + std::to_string(option_) + " announces " +
                    std::to_string(option_data_bytes_) + " bytes");
    }
    if (++option_count_ > options_base_max + options_per_export_max * exports_.list().size()) {
        return drop("the client sent too many options");
    }
    const auto* rule = std::ranges::find_if(
        option_rules, [&](const OptionRule& known) { return is_option(known.option); });
    rule_ = rule == std::end(option_rules) ? nullptr : rule;
    expect(Expected::option_data, option_data_bytes_, rule_ && rule_->data == Data::kept);
}

/// Answers the option in hand, whose data is complete, and gets ready for the next.
void Handshake::take_option(Bytes& out) {
    if (shutting_down_ && is_option(Option::export_name)) return drop("the server is stopping");
    if (needs_tls_first() && is_option(Option::export_name)) return drop("it did not start TLS");
    if (shutting_down_ && !is_option(Option::abort)) {
        refuse(OptionReply::error_shutdown, "The server is stopping.", out);
    } else if (needs_tls_first()) {
        refuse(OptionReply::error_tls_required, "TLS must be started first.", out);
    } else if (rule_ == nullptr) {
        answer_unsupported(out);
    } else if (rule_->data == Data::none && option_data_bytes_ > 0) {
        refuse(OptionReply::error_invalid, std::string(rule_->name) + " takes no data.", out);
    } else {
        (this->*rule_->answer)(out);
    }
    expect(Expected::option_header, sizeof(OptionHeader), true);
}

bool Handshake::is_option(Option option) const noexcept {
    return option_ == static_cast<std::uint32_t>(option);
}

/// Before that, the option in hand is refused whatever it is.
bool Handshake::needs_tls_first() const noexcept {
    return tls_ == TlsMode::required && !secure_ && !is_option(Option::starttls) &&
           !is_option(Option::abort);
}

bool Handshake::offers(const ExportInfo& info) const noexcept {
    return info.tls != (secure_ ? TlsUse::never : TlsUse::only);
}

/// Null for an export that is not there for this client as it speaks now.
std::shared_ptr<const ExportInfo> Handshake::find(std::string_view name) const {
    auto info = exports_.find(name);
    return info && offers(*info) ? info : nullptr;
}

/// This option has no error reply: a refusal is a closed connection.
void Handshake::answer_export_name(Bytes& out) {
    if (terms_.form == Form::extended) return drop("EXPORT_NAME came after EXTENDED_HEADERS");
    const std::string_view name(reinterpret_cast<const char*>(message_.data()), message_.size());
    if (!is_protocol_string(name)) return drop("the export name is not valid UTF-8");
    const auto info = find(name);
    if (!info) return drop(no_such_export(name));
    enter(info, name);
    ExportNameReply answer;
    answer.size_bytes = info->size_bytes;
    answer.transmission_flags = terms_.transmission_flags;
    append(out, wire_bytes(answer));
    if ((client_flags_ & flag_no_zeroes) == 0) out.resize(out.size() + export_name_zeroes_bytes);
}

void Handshake::answer_abort(Bytes& out) {
    reply(OptionReply::ack, {}, out);
    state_ = State::aborted;
}

void Handshake::answer_list(Bytes& out) {
    for (const auto& info : exports_.list()) {
        if (!offers(*info)) continue;
        const be32 name_bytes = static_cast<std::uint32_t>(info->name.size());
        reply(OptionReply::server,
              {wire_bytes(name_bytes), text_bytes(info->name), text_bytes(info->description)}, out);
    }
    reply(OptionReply::ack, {}, out);
}

void Handshake::answer_starttls(Bytes& out) {
    if (secure_) return refuse(OptionReply::error_invalid, "TLS is on already.", out);
    if (tls_ == TlsMode::absent) {
        return refuse(OptionReply::error_unsupported, "This build has no TLS (no OpenSSL).", out);
    }
    if (tls_ == TlsMode::off) {
        return refuse(OptionReply::error_policy, "TLS is not configured here.", out);
    }
    reply(OptionReply::ack, {}, out);
    state_ = State::starting_tls;
}

void Handshake::answer_info(Bytes& out) {
    if (describe_export(out)) reply(OptionReply::ack, {}, out);
}

void Handshake::answer_go(Bytes& out) {
    auto info = describe_export(out);
    if (!info) return;
    reply(OptionReply::ack, {}, out);
    enter(std::move(info), *OptionReader(message_).text());
}

void Handshake::answer_structured_reply(Bytes& out) {
    if (terms_.form == Form::extended) {
        return refuse(OptionReply::error_extended_headers_required,
                      "Extended headers are on, which are more.", out);
    }
    if (terms_.form == Form::structured) {
        return refuse(OptionReply::error_invalid, "Structured replies are on already.", out);
    }
    terms_.form = Form::structured;
    reply(OptionReply::ack, {}, out);
}

void Handshake::answer_extended_headers(Bytes& out) {
    if (terms_.form == Form::extended) {
        return refuse(OptionReply::error_invalid, "Extended headers are on already.", out);
    }
    terms_.form = Form::extended;
    reply(OptionReply::ack, {}, out);
}

void Handshake::answer_list_meta_context(Bytes& out) {
    const auto wanted = parse_meta_request(out);
    if (!wanted) return;
    const MetaContexts asked = wanted->named | wanted->wildcards;
    send_meta_contexts(wanted->queries ? asked : MetaContexts{0xff}, out);
}

/// Whatever comes of it, what was chosen before is forgotten.
void Handshake::answer_set_meta_context(Bytes& out) {
    terms_.contexts = 0;
    if (terms_.form == Form::simple) {
        return refuse(OptionReply::error_invalid, "STRUCTURED_REPLY must come first.", out);
    }
    const auto wanted = parse_meta_request(out);
    if (!wanted) return;
    terms_.contexts = wanted->named;
    chosen_for_ = wanted->export_name;
    send_meta_contexts(wanted->named, out);
}

/// Nullopt if the option has been refused. What is not known adds nothing.
std::optional<Handshake::MetaRequest> Handshake::parse_meta_request(Bytes& out) const {
    OptionReader reader(message_);
    const auto name = reader.text();
    const auto query_count = name ? reader.u32() : std::nullopt;
    MetaRequest wanted;
    wanted.queries = query_count.value_or(0) > 0;
    bool fits = query_count.has_value();
    for (std::uint32_t i = 0; fits && i < *query_count; ++i) {
        const auto query = reader.text();
        fits = query.has_value();
        if (!fits) break;
        if (refuse_bad_string(*query, out)) return std::nullopt;
        for (std::size_t k = 0; k < meta_context_names.size(); ++k) {
            const std::string_view known = meta_context_names[k];
            const auto bit = bit_of(static_cast<MetaContext>(k));
            if (*query == known) wanted.named |= bit;
            if (*query == known.substr(0, known.find(':') + 1)) wanted.wildcards |= bit;
        }
    }
    if (!fits || reader.rest_bytes() > 0) {
        refuse(OptionReply::error_invalid, "The lengths in the option don't fit.", out);
        return std::nullopt;
    }
    if (refuse_bad_string(*name, out)) return std::nullopt;
    if (!find(*name)) {
        refuse(OptionReply::error_unknown, no_such_export(*name), out);
        return std::nullopt;
    }
    wanted.export_name = *name;
    return wanted;
}

/// In a list their numbers mean nothing.
void Handshake::send_meta_contexts(MetaContexts contexts, Bytes& out) const {
    for (std::size_t k = 0; k < meta_context_names.size(); ++k) {
        const auto context = static_cast<MetaContext>(k);
        if ((contexts & bit_of(context)) == 0) continue;
        const be32 number =
            is_option(Option::set_meta_context) ? number_of(context) : std::uint32_t{0};
        reply(OptionReply::meta_context, {wire_bytes(number), text_bytes(meta_context_names[k])},
              out);
    }
    reply(OptionReply::ack, {}, out);
}

void Handshake::answer_unsupported(Bytes& out) {
    const std::string name = rule_ ? std::string(rule_->name) : "Option " + std::to_string(option_);
    refuse(OptionReply::error_unsupported, name + " is not supported.", out);
}

/// What INFO and GO share: all replies but the last. Null if the option has been refused.
std::shared_ptr<const ExportInfo> Handshake::describe_export(Bytes& out) {
    const auto wanted = parse_info_request(out);
    if (!wanted) return nullptr;
    auto info = find(wanted->export_name);
    if (info) {
        send_infos(*info, *wanted, out);
    } else {
        refuse_export(wanted->export_name, out);
    }
    return info;
}

/// Without TLS nobody learns which names are there with it: where any is, an unknown name is told
/// the same.
void Handshake::refuse_export(std::string_view name, Bytes& out) const {
    const bool hides = tls_ == TlsMode::offered && !secure_ &&
                       std::ranges::any_of(exports_.list(), [](const auto& info) {
                           return info->tls == TlsUse::only;
                       });
    if (!hides) return refuse(OptionReply::error_unknown, no_such_export(name), out);
    refuse(OptionReply::error_tls_required,
           no_such_export(name) + " There may be one once TLS is started.", out);
}

/// Nullopt if the option has been refused.
std::optional<Handshake::InfoRequest> Handshake::parse_info_request(Bytes& out) const {
    OptionReader reader(message_);
    const auto name = reader.text();
    const auto type_count = name ? reader.u16() : std::nullopt;
    if (!type_count || reader.rest_bytes() != *type_count * sizeof(be16)) {
        refuse(OptionReply::error_invalid, "The lengths in the option don't fit.", out);
        return std::nullopt;
    }
    if (refuse_bad_string(*name, out)) return std::nullopt;
    InfoRequest wanted{.export_name = *name};
    while (const auto type = reader.u16()) {
        wanted.name |= *type == static_cast<std::uint16_t>(InfoType::name);
        wanted.description |= *type == static_cast<std::uint16_t>(InfoType::description);
        wanted.block_size |= *type == static_cast<std::uint16_t>(InfoType::block_size);
        wanted.identity |= *type == static_cast<std::uint16_t>(InfoType::identity);
    }
    return wanted;
}

void Handshake::send_infos(const ExportInfo& info, const InfoRequest& wanted, Bytes& out) const {
    if (wanted.name) {
        const be16 type = static_cast<std::uint16_t>(InfoType::name);
        reply(OptionReply::info, {wire_bytes(type), text_bytes(info.name)}, out);
    }
    if (wanted.description && !info.description.empty()) {
        const be16 type = static_cast<std::uint16_t>(InfoType::description);
        reply(OptionReply::info, {wire_bytes(type), text_bytes(info.description)}, out);
    }
    if (wanted.block_size) {
        InfoBlockSize block_size;
        block_size.minimum_bytes = info.min_block_bytes;
        block_size.preferred_bytes = info.preferred_block_bytes;
        block_size.max_payload_bytes = info.max_payload_bytes;
        reply(OptionReply::info, {wire_bytes(block_size)}, out);
    }
    if (const auto identity =
            wanted.identity ? exports_.identify(wanted.export_name) : std::nullopt) {
        InfoIdentity head;
        head.server = identity->server;
        head.answer_ms = identity->answer_ms;
        reply(OptionReply::info, {wire_bytes(head), text_bytes(identity->text)}, out);
    }
    InfoExport size;
    size.size_bytes = info.size_bytes;
    size.transmission_flags = transmission_flags(info, terms_.form);
    reply(OptionReply::info, {wire_bytes(size)}, out);
}

/// `name` is what the client asked for.
void Handshake::enter(std::shared_ptr<const ExportInfo> info, std::string_view name) {
    if (name != chosen_for_) terms_.contexts = 0;
    terms_.transmission_flags = transmission_flags(*info, terms_.form);
    granted_ = std::move(info);
    state_ = State::transmission;
}

void Handshake::reply(OptionReply type, std::initializer_list<ByteSpan> parts, Bytes& out) const {
    std::size_t data_bytes = 0;
    for (const ByteSpan part : parts) data_bytes += part.size();
    OptionReplyHeader header;
    header.option = option_;
    header.type = static_cast<std::uint32_t>(type);
    header.data_bytes = static_cast<std::uint32_t>(data_bytes);
    append(out, wire_bytes(header));
    for (const ByteSpan part : parts) append(out, part);
}

/// `text` ends in a full stop: nbd-client overwrites the last byte with NUL.
void Handshake::refuse(OptionReply type, std::string_view text, Bytes& out) const {
    reply(type, {text_bytes(text)}, out);
}

/// Refuses the option if `text`, a name or a query, breaks the rules for strings.
bool Handshake::refuse_bad_string(std::string_view text, Bytes& out) const {
    if (text.size() > string_bytes_max) {
        refuse(OptionReply::error_too_big, "A name is longer than 4096 bytes.", out);
        return true;
    }
    if (is_protocol_string(text)) return false;
    refuse(OptionReply::error_invalid, "A name is not valid UTF-8, or has a NUL.", out);
    return true;
}

void Handshake::drop(std::string reason) {
    state_ = State::dropped;
    reason_ = std::move(reason);
}

}  // namespace server::nbd
