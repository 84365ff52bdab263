#include "fuzz/handshake_script.h"

#include "unit/nbd_client.h"

namespace fuzz {
namespace {

using namespace server::nbd;

constexpr std::size_t bytes_max = 80 << 10;

std::string name(Input& input) {
    switch (input.below(7)) {
        case 0: return {};
        case 1: return "rom";
        case 2: return std::string(string_bytes_max - 1 + input.below(3), 'n');
        case 3: return input.text();
        case 4: return "\xc3\xa9tage";
        default: return "disk";
    }
}

std::string infos(Input& input) {
    constexpr std::uint16_t types[] = {0, 1, 2, 3, 0x444d, 999};
    std::vector<std::uint16_t> wanted(input.below(9));
    for (auto& type : wanted) type = input.pick(types);
    return nbd_test::info_data(name(input), wanted);
}

std::string queries(Input& input) {
    const char* const known[] = {"base:allocation", "x-dmnbd:map", "base:", "x-dmnbd:", "", "base"};
    std::vector<std::string> asked(input.below(6));
    for (auto& query : asked) query = input.flag() ? input.pick(known) : input.text();
    return nbd_test::meta_data(name(input), asked);
}

std::string data_of(std::uint32_t option, Input& input) {
    switch (static_cast<Option>(option)) {
        case Option::export_name: return name(input);
        case Option::info:
        case Option::go: return infos(input);
        case Option::list_meta_context:
        case Option::set_meta_context: return queries(input);
        default: return input.flag() ? input.text() : std::string();
    }
}

/// Lengths that do not fit are what parsers trip over.
void spoil(std::string& data, Input& input) {
    switch (input.below(8)) {
        case 1: data.resize(input.below(data.size() + 1)); break;
        case 2: data += input.text(); break;
        case 3:
            if (data.size() >= 4) {
                data.replace(input.below(data.size() - 3), 4,
                             nbd_test::u32(static_cast<std::uint32_t>(input.edge())));
            }
            break;
        case 4: data.resize(data.size() + input.number(2)); break;
        default: break;
    }
}

std::string option(Input& input) {
    constexpr std::uint32_t known[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 6, 7, 9, 10, 0x7777};
    const auto code =
        input.byte() < 250 ? input.pick(known) : static_cast<std::uint32_t>(input.number(4));
    std::string data = data_of(code, input);
    spoil(data, input);
    std::string header = nbd_test::option_header(code, static_cast<std::uint32_t>(data.size()));
    if (input.byte() == 255) {
        header.replace(input.below(13), 4, nbd_test::u32(static_cast<std::uint32_t>(input.edge())));
    }
    return header + data;
}

}  // namespace

HandshakeScript write_handshake(Input& input) {
    HandshakeScript script;
    constexpr std::uint32_t flags[] = {3, 1, 3, 2, 0, 4, 3, 0x80000003};
    script.bytes = nbd_test::u32(input.pick(flags));
    std::string last;
    while (!input.empty() && script.bytes.size() < bytes_max) {
        switch (input.below(12)) {
            case 0: script.bytes += input.text(); break;
            case 1:
                if (script.cuts.empty() || script.cuts.back() < script.bytes.size()) {
                    script.cuts.push_back(script.bytes.size() - input.below(4));
                }
                break;
            case 2: script.shut_down_at = script.bytes.size(); break;
            case 3:
                for (unsigned i = input.byte(); i > 0 && script.bytes.size() < bytes_max; --i) {
                    script.bytes += last;
                }
                break;
            default: script.bytes += last = option(input);
        }
    }
    return script;
}

}  // namespace fuzz
