#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/nbd/export.h"
#include "server/nbd/wire.h"

namespace server::nbd {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

class OptionReader;

/// What one connection may and must do about TLS; the same for all its life.
enum class TlsMode : std::uint8_t {
    absent,    // This build can't.
    off,       // NOTLS: it is not configured, or not for this address.
    offered,   // SELECTIVETLS: clients may, and must for exports that are for TLS only.
    required,  // FORCEDTLS: before it nothing else is answered.
};

/// The server's side of one fixed newstyle handshake: bytes in, bytes out.
///
/// The owner sends greeting(), then passes whatever arrives to feed() and sends what that appends,
/// while state() is `negotiating`. At `starting_tls` it sends what there is, and from then on
/// speaks TLS in both directions: it calls tls_started() and feeds what comes out of that. Time
/// limits are the owner's. Memory is bounded by option_data_bytes_max and the caller's output
/// buffer. Input may be cut anywhere.
class Handshake {
  public:
    enum class State : std::uint8_t {
        negotiating,
        starting_tls,  // Nothing is fed before tls_started().
        transmission,  // granted_export() and terms() are set; what follows are requests.
        aborted,       // The client said goodbye. Send the output, then close; nothing to log.
        dropped,       // Send the output, then close and log reason().
    };

    /// `exports` must outlive the handshake.
    explicit Handshake(const ExportList& exports, TlsMode tls = TlsMode::off);

    /// The first bytes on the wire.
    static std::array<std::byte, sizeof(Greeting)> greeting() noexcept;

    /// Takes bytes from the client, appends the answers to `out`, and returns how many bytes it
    /// took. It takes all of `in`, except that it stops where negotiation ends, and pauses once
    /// `out` holds handshake_output_bytes_max: send that, then feed the rest.
    std::size_t feed(ByteSpan in, Bytes& out);

    /// Goes on, and has forgotten what was agreed on before.
    void tls_started();

    /// From now on every option but ABORT is refused with ERR_SHUTDOWN.
    void shut_down() noexcept { shutting_down_ = true; }

    State state() const noexcept { return state_; }

    /// Why the connection was dropped: printable ASCII, with what the client sent cut and escaped.
    const std::string& reason() const noexcept { return reason_; }

    /// The export the client entered; null before `transmission`.
    const std::shared_ptr<const ExportInfo>& granted_export() const noexcept { return granted_; }
    const Terms& terms() const noexcept { return terms_; }

  private:
    enum class Expected : std::uint8_t { client_flags, option_header, option_data };
    enum class Data : std::uint8_t { none, ignored, kept };
    struct OptionRule;
    struct InfoRequest;
    struct MetaRequest;
    static const OptionRule option_rules[];

    void expect(Expected next, std::size_t bytes, bool keep);
    void take_message(Bytes& out);
    void take_client_flags();
    void take_option_header();
    void take_option(Bytes& out);
    bool is_option(Option option) const noexcept;

    void answer_export_name(Bytes& out);
    void answer_abort(Bytes& out);
    void answer_list(Bytes& out);
    void answer_starttls(Bytes& out);
    void answer_info(Bytes& out);
    void answer_go(Bytes& out);
    void answer_structured_reply(Bytes& out);
    void answer_extended_headers(Bytes& out);
    void answer_list_meta_context(Bytes& out);
    void answer_set_meta_context(Bytes& out);
    void answer_unsupported(Bytes& out);

    bool needs_tls_first() const noexcept;
    bool offers(const ExportInfo& info) const noexcept;
    std::shared_ptr<const ExportInfo> find(std::string_view name) const;
    void refuse_export(std::string_view name, Bytes& out) const;
    std::shared_ptr<const ExportInfo> describe_export(Bytes& out);
    std::optional<InfoRequest> parse_info_request(Bytes& out) const;
    void send_infos(const ExportInfo& info, const InfoRequest& wanted, Bytes& out) const;
    std::optional<MetaRequest> parse_meta_request(Bytes& out) const;
    void send_meta_contexts(MetaContexts contexts, Bytes& out) const;
    void enter(std::shared_ptr<const ExportInfo> info, std::string_view name);

    void reply(OptionReply type, std::initializer_list<ByteSpan> parts, Bytes& out) const;
    void refuse(OptionReply type, std::string_view text, Bytes& out) const;
    bool refuse_bad_string(std::string_view text, Bytes& out) const;
    void drop(std::string reason);

    const ExportList& exports_;
    const TlsMode tls_;
    bool secure_ = false;  // TLS has been started.
    State state_ = State::negotiating;
    std::string reason_;
    std::shared_ptr<const ExportInfo> granted_;
    Terms terms_;  // Its contexts are those chosen for the export of this name:
    std::string chosen_for_;

    Expected expected_ = Expected::client_flags;
    std::size_t missing_bytes_ = 0;  // Of the message that is being received.
    bool keep_ = true;               // Whether that message goes to message_ or nowhere.
    Bytes message_;

    std::uint32_t client_flags_ = 0;
    std::uint32_t option_ = 0;             // The option in hand,
    std::uint32_t option_data_bytes_ = 0;  // the length of its data,
    const OptionRule* rule_ = nullptr;     // and how to treat it; null for an unknown one.
    std::size_t option_count_ = 0;
    bool shutting_down_ = false;
};

}  // namespace server::nbd
