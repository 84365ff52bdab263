#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/nbd/handshake.h"
#include "server/nbd/wire.h"

// A scripted NBD client for the tests of the protocol code. It builds messages of any quality.
namespace nbd_test {

using namespace server::nbd;

using Infos = std::vector<std::shared_ptr<const ExportInfo>>;

/// The first export is the default one.
struct Exports : ExportList {
    Infos infos;

    std::shared_ptr<const ExportInfo> find(std::string_view name) const override {
        for (const auto& info : infos) {
            if (name.empty() || info->name == name) return info;
        }
        return nullptr;
    }
    Infos list() const override { return infos; }
};

inline ExportInfo export_named(std::string name) {
    ExportInfo info;
    info.name = std::move(name);
    info.description = "the disk " + info.name;
    info.size_bytes = 1 << 20;
    info.can_flush = info.can_fua = info.can_trim = info.can_zero = info.can_multi_conn = true;
    return info;
}

/// "disk" (the default) and the read-only "rom".
inline Exports two_exports() {
    ExportInfo rom = export_named("rom");
    rom.read_only = true;
    Exports exports;
    exports.infos.push_back(std::make_shared<ExportInfo>(export_named("disk")));
    exports.infos.push_back(std::make_shared<ExportInfo>(rom));
    return exports;
}

template <WireType T>
std::string raw(const T& value) {
    const auto bytes = wire_bytes(value);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string u16(std::uint16_t value) {
    return raw(be16{value});
}
inline std::string u32(std::uint32_t value) {
    return raw(be32{value});
}

inline std::string request_header(Command command, std::uint64_t cookie, std::uint64_t offset,
                                  std::uint32_t length, std::uint16_t flags = 0) {
    RequestHeader header;
    header.magic = request_magic;
    header.flags = flags;
    header.type = static_cast<std::uint16_t>(command);
    header.cookie = cookie;
    header.offset_bytes = offset;
    header.length_bytes = length;
    return raw(header);
}

inline std::string text(std::string_view value) {
    return u32(static_cast<std::uint32_t>(value.size())).append(value);
}

inline std::string option_header(std::uint32_t code, std::uint32_t data_bytes) {
    return raw(be64{option_magic}) + u32(code) + u32(data_bytes);
}

inline std::string option(std::uint32_t code, std::string_view data = {}) {
    return option_header(code, static_cast<std::uint32_t>(data.size())).append(data);
}

inline std::string option(Option code, std::string_view data = {}) {
    return option(static_cast<std::uint32_t>(code), data);
}

/// The data of INFO and GO.
inline std::string info_data(std::string_view name, const std::vector<std::uint16_t>& types = {}) {
    std::string data = text(name) + u16(static_cast<std::uint16_t>(types.size()));
    for (const std::uint16_t type : types) data += u16(type);
    return data;
}

/// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
inline std::string meta_data(std::string_view name, const std::vector<std::string>& queries) {
    std::string data = text(name) + u32(static_cast<std::uint32_t>(queries.size()));
    for (const std::string& query : queries) data += text(query);
    return data;
}

struct Reply {
    std::uint32_t option = 0;
    OptionReply type{};
    std::string data;

    bool is_error() const { return (static_cast<std::uint32_t>(type) & 0x80000000) != 0; }
};

/// One connection in its handshake, with a client that has sent its flags.
class Client {
  public:
    explicit Client(const Exports& exports, std::uint32_t flags = 3, TlsMode tls = TlsMode::off)
        : handshake(exports, tls) {
        send(u32(flags));
    }
    Client(const Exports& exports, TlsMode tls) : Client(exports, 3, tls) {}

    /// Hands `bytes` to the server in one piece and keeps what it says. Returns the bytes it took.
    std::size_t send(std::string_view bytes) {
        const auto in = std::as_bytes(std::span(bytes));
        std::size_t taken = 0;
        Bytes out;
        do {
            out.clear();
            taken += handshake.feed(in.subspan(taken), out);
            received.append(reinterpret_cast<const char*>(out.data()), out.size());
        } while (!out.empty() && taken < in.size());
        return taken;
    }

    /// All option replies since the last call. Fails by an empty list if there is a broken one.
    std::vector<Reply> replies() {
        std::vector<Reply> result;
        std::string_view rest = received;
        while (rest.size() >= sizeof(OptionReplyHeader)) {
            const auto header = wire_read<OptionReplyHeader>(std::as_bytes(std::span(rest)));
            rest.remove_prefix(sizeof header);
            if (header.magic != option_reply_magic || header.data_bytes > rest.size()) return {};
            const auto type = static_cast<OptionReply>(std::uint32_t{header.type});
            result.push_back({header.option, type, std::string(rest.substr(0, header.data_bytes))});
            rest.remove_prefix(header.data_bytes);
        }
        if (!rest.empty()) return {};
        received.clear();
        return result;
    }

    /// Sends one option and returns the replies to it.
    std::vector<Reply> ask(Option code, std::string_view data = {}) {
        send(option(code, data));
        return replies();
    }

    /// Sends one option and returns the type of the last reply to it; 0 where there is none.
    OptionReply verdict(Option code, std::string_view data = {}) {
        const auto all = ask(code, data);
        return all.empty() ? OptionReply{} : all.back().type;
    }

    bool negotiating() const { return handshake.state() == Handshake::State::negotiating; }
    bool dropped() const { return handshake.state() == Handshake::State::dropped; }
    bool starting_tls() const { return handshake.state() == Handshake::State::starting_tls; }
    bool in_transmission() const { return handshake.state() == Handshake::State::transmission; }

    Handshake handshake;
    std::string received;
};

}  // namespace nbd_test
