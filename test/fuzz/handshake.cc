// The server's side of a handshake against any client: every option is answered once, as the
// protocol says, whatever its data; what is said can be read; and it makes no difference how input
// is cut.
#include "fuzz/fuzz.h"
#include "fuzz/handshake_script.h"
#include "server/nbd/limits.h"
#include "server/nbd/option_reader.h"
#include "server/nbd/text.h"
#include "unit/nbd_client.h"

namespace {

using namespace server::nbd;
using fuzz::HandshakeScript;
using fuzz::Input;
using fuzz::must;
using nbd_test::Reply;

struct Exports : nbd_test::Exports {
    std::optional<Identity> identify(std::string_view name) const override {
        if (!find(name)) return std::nullopt;
        return Identity{.server = 7, .answer_ms = 30'000, .text = "the same bytes"};
    }
    void add(const std::string& name) {
        infos.push_back(std::make_shared<ExportInfo>(nbd_test::export_named(name)));
    }
};

const Exports& exports(std::uint64_t which) {
    static const std::vector<Exports> all = [] {
        std::vector<Exports> made(4);
        made[1].infos = nbd_test::two_exports().infos;
        ExportInfo large = nbd_test::export_named(std::string(string_bytes_max, 'n'));
        large.description = std::string(string_bytes_max, 'd');
        made[2].infos = {std::make_shared<ExportInfo>(large)};
        made[2].add("\xc3\xa9tage");
        for (int i = 0; i < 12; ++i) made[3].add("disk" + std::to_string(i));
        return made;
    }();
    return all[which];
}

/// What came of a script.
struct Outcome {
    std::string said;
    std::size_t taken = 0;
    Handshake::State state{};
    std::string reason;
    std::shared_ptr<const ExportInfo> granted;
    Terms terms;
};

/// Feeds `bytes` as a connection does: what is said is sent before more is fed.
void feed(Handshake& handshake, std::string_view bytes, Outcome& to) {
    const auto in = std::as_bytes(std::span(bytes));
    std::size_t taken = 0;
    Bytes out;
    do {
        out.clear();
        taken += handshake.feed(in.subspan(taken), out);
        must(out.size() < 2 * handshake_output_bytes_max + (1 << 20), "output is bounded");
        to.said.append(reinterpret_cast<const char*>(out.data()), out.size());
    } while (!out.empty() && handshake.state() == Handshake::State::negotiating);
    to.taken += taken;
    const bool open = handshake.state() == Handshake::State::negotiating;
    must(!open || taken == bytes.size(), "it takes all while it negotiates");
}

Outcome play(const Exports& list, const HandshakeScript& script, bool cut) {
    Outcome outcome;
    Handshake handshake(list);
    std::vector<std::size_t> ends = cut ? script.cuts : std::vector<std::size_t>();
    ends.push_back(std::min(script.shut_down_at, script.bytes.size()));
    ends.push_back(script.bytes.size());
    std::ranges::sort(ends);
    std::size_t at = 0;
    for (const std::size_t end : ends) {
        if (handshake.state() != Handshake::State::negotiating) break;
        feed(handshake, std::string_view(script.bytes).substr(at, end - at), outcome);
        at = end;
        if (at == script.shut_down_at) handshake.shut_down();
    }
    outcome.state = handshake.state();
    outcome.reason = handshake.reason();
    outcome.granted = handshake.granted_export();
    outcome.terms = handshake.terms();
    return outcome;
}

bool is_final(const Reply& reply) {
    return reply.is_error() || reply.type == OptionReply::ack;
}

/// Takes one reply off the front of `said`.
Reply take_reply(std::string_view& said) {
    must(said.size() >= sizeof(OptionReplyHeader), "a reply is whole");
    const auto header = wire_read<OptionReplyHeader>(std::as_bytes(std::span(said)));
    must(header.magic == option_reply_magic, "a reply has its magic number");
    said.remove_prefix(sizeof header);
    must(header.data_bytes <= said.size(), "a reply's length fits");
    Reply reply{header.option, static_cast<OptionReply>(std::uint32_t{header.type}),
                std::string(said.substr(0, header.data_bytes))};
    said.remove_prefix(header.data_bytes);
    return reply;
}

void check_info(const Reply& reply, int& sizes) {
    must(reply.data.size() >= 2, "an information has a type");
    const auto type = wire_read<be16>(std::as_bytes(std::span(reply.data)));
    if (type == 0) ++sizes;
    must(type != 0 || reply.data.size() == sizeof(InfoExport), "the size is 12 bytes");
    must(type != 3 || reply.data.size() == sizeof(InfoBlockSize), "block sizes are 14 bytes");
}

void check_server(const Reply& reply) {
    const auto name = OptionReader(std::as_bytes(std::span(reply.data))).text();
    must(name.has_value(), "the name of a listed export fits");
}

/// Only what was chosen has a number.
MetaContexts context_in(const Reply& reply, bool chosen) {
    must(reply.data.size() > 4, "a context has a name");
    const auto number = wire_read<be32>(std::as_bytes(std::span(reply.data)));
    const auto known = std::ranges::find(meta_context_names, reply.data.substr(4));
    must(known != meta_context_names.end(), "a context is one of ours");
    const auto context = static_cast<MetaContext>(known - meta_context_names.begin());
    must(number == (chosen ? number_of(context) : 0), "a chosen context has its number");
    return bit_of(context);
}

/// Reads the replies to one option, the last of which is returned.
Reply answer_to(std::uint32_t option, std::size_t exports, std::string_view& said,
                MetaContexts& told) {
    int sizes = 0;
    std::size_t servers = 0;
    for (bool first = true;; first = false) {
        const Reply reply = take_reply(said);
        must(reply.option == option, "a reply names its option");
        if (is_final(reply)) {
            must(!reply.is_error() || first, "nothing is told before a refusal");
            must(reply.is_error() || reply.data.empty(), "an ACK is empty");
            const bool text = reply.data.size() < 4096 && reply.data.ends_with('.') &&
                              is_protocol_string(reply.data);
            must(!reply.is_error() || text, "a refusal is a sentence");
            const bool describes = option == 6 || option == 7;
            must(reply.is_error() || sizes == (describes ? 1 : 0), "GO tells the size once");
            must(reply.is_error() || servers == (option == 3 ? exports : 0), "LIST lists all");
            return reply;
        }
        switch (reply.type) {
            case OptionReply::info: check_info(reply, sizes); break;
            case OptionReply::server: check_server(reply), ++servers; break;
            case OptionReply::meta_context:
                must(option == 9 || option == 10, "contexts are told to who asks");
                told |= context_in(reply, option == 10);
                break;
            default: must(false, "there is such a reply");
        }
    }
}

/// Reads what the client sent as the protocol defines it, beside the replies.
class Reading {
  public:
    Reading(const Exports& list, const HandshakeScript& script, const Outcome& outcome)
        : list_(list), script_(script), bytes_(script.bytes), said_(outcome.said) {}

    Handshake::State end = Handshake::State::negotiating;
    std::size_t at = 0;
    Terms terms;  // Their flags are not looked at.

    void run() {
        if (bytes_.size() < 4) return;
        flags_ = wire_read<be32>(bytes());
        at = 4;
        if ((flags_ & ~3U) != 0) return stop(Handshake::State::dropped);
        while (end == Handshake::State::negotiating && bytes_.size() - at >= 16 && option()) {
        }
        must(said_.empty(), "nothing is said unasked");
    }

  private:
    std::span<const std::byte> bytes() const {
        return std::as_bytes(std::span(bytes_)).subspan(at);
    }
    void stop(Handshake::State how) { end = how; }

    /// False: it is not all there.
    bool option() {
        const auto header = wire_read<OptionHeader>(bytes());
        at += sizeof header;
        const bool is_name = header.option == 1;
        const std::uint32_t most = is_name ? string_bytes_max : option_data_bytes_max;
        const bool bad = header.magic != option_magic || ((flags_ & 1) == 0 && !is_name) ||
                         header.data_bytes > most ||
                         ++count_ > options_base_max + options_per_export_max * list_.infos.size();
        if (bad) {
            stop(Handshake::State::dropped);
            return true;
        }
        if (header.data_bytes > bytes_.size() - at) {
            at = bytes_.size();
            return false;
        }
        const auto data = bytes().first(header.data_bytes);
        at += header.data_bytes;
        answered(header.option, data);
        return true;
    }

    /// The export that INFO, GO, LIST_META_CONTEXT or SET_META_CONTEXT are about.
    static std::string name_in(std::span<const std::byte> data) {
        return std::string(OptionReader(data).text().value_or(std::string_view()));
    }

    void answered(std::uint32_t code, std::span<const std::byte> data) {
        const bool stopping = at > script_.shut_down_at;
        if (code == 1) return export_name(stopping, data);
        MetaContexts told = 0;
        const OptionReply verdict = answer_to(code, list_.infos.size(), said_, told).type;
        if (code == 2) {
            must(verdict == OptionReply::ack, "ABORT is acknowledged");
            return stop(Handshake::State::aborted);
        }
        must(stopping == (verdict == OptionReply::error_shutdown), "who stops says so");
        if (stopping) return;
        const bool known = code >= 3 && code <= 11 && code != 4;
        must(known || verdict == OptionReply::error_unsupported, "who knows no option says so");
        const bool bare = code == 3 || code == 8 || code == 11;
        must(!bare || data.empty() || verdict == OptionReply::error_invalid, "no data is no data");
        agree(code, verdict == OptionReply::ack, told, data);
    }

    void agree(std::uint32_t code, bool granted, MetaContexts told,
               std::span<const std::byte> data) {
        if (code == 8 && granted) terms.form = Form::structured;
        if (code == 11 && granted) terms.form = Form::extended;
        if (code == 10) {  // Whatever comes of it, what was chosen before is forgotten.
            must(!granted || terms.form != Form::simple, "contexts need chunks");
            terms.contexts = granted ? told : MetaContexts{0};
            chosen_for_ = granted ? name_in(data) : std::string();
        }
        if (code == 7 && granted) enter(name_in(data));
    }

    void enter(const std::string& name) {
        must(list_.find(name) != nullptr, "who is let in has named an export");
        if (name != chosen_for_) terms.contexts = 0;
        stop(Handshake::State::transmission);
    }

    /// It is answered in full, or the connection is dropped without a word.
    void export_name(bool stopping, std::span<const std::byte> data) {
        const std::string name(reinterpret_cast<const char*>(data.data()), data.size());
        const bool good = !stopping && terms.form != Form::extended && list_.find(name) != nullptr;
        must(good == !said_.empty(), "EXPORT_NAME lets in who may come in, and no other");
        if (!good) return stop(Handshake::State::dropped);
        const std::size_t zeroes = (flags_ & 2) != 0 ? 0 : export_name_zeroes_bytes;
        must(said_.size() == sizeof(ExportNameReply) + zeroes, "the reply to EXPORT_NAME is whole");
        said_ = {};
        enter(name);
    }

    const Exports& list_;
    const HandshakeScript& script_;
    std::string_view bytes_;
    std::string_view said_;
    std::uint32_t flags_ = 0;
    std::size_t count_ = 0;
    std::string chosen_for_;
};

void check_end(const Outcome& outcome) {
    const bool in = outcome.state == Handshake::State::transmission;
    must(in == (outcome.granted != nullptr), "only who is let in has an export");
    if (in) {
        const Terms& terms = outcome.terms;
        must((terms.transmission_flags & flag_has_flags) != 0, "flags are offered");
        must(((terms.transmission_flags & send_df) != 0) == (terms.form != Form::simple),
             "DF fits");
        must(terms.contexts == 0 || terms.form != Form::simple, "contexts need chunks");
    }
    const bool dropped = outcome.state == Handshake::State::dropped;
    must(dropped == !outcome.reason.empty(), "a drop has a reason");
    must(outcome.reason.size() < 1000 && fuzz::is_printable(outcome.reason), "a log takes it");
}

}  // namespace

int fuzz_handshake(std::span<const std::uint8_t> bytes) {
    Input input(bytes);
    const Exports& list = exports(input.below(4));
    const HandshakeScript script = fuzz::write_handshake(input);
    const Outcome whole = play(list, script, false);
    Reading reading(list, script, whole);
    reading.run();
    must(whole.state == reading.end, "it ends as the protocol says");
    must(whole.taken == reading.at || reading.end == Handshake::State::negotiating,
         "nothing is taken behind the end");
    check_end(whole);
    const bool in = whole.state == Handshake::State::transmission;
    must(!in || (whole.terms.form == reading.terms.form &&
                 whole.terms.contexts == reading.terms.contexts),
         "what was agreed on counts");
    const Outcome pieces = play(list, script, true);
    must(pieces.said == whole.said && pieces.taken == whole.taken && pieces.state == whole.state &&
             pieces.reason == whole.reason && pieces.granted == whole.granted &&
             pieces.terms.contexts == whole.terms.contexts,
         "input may be cut anywhere");
    return 0;
}
